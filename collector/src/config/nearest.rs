//! The known name that someone probably meant.

/// Below this similarity (0 to 1, Jaro-Winkler) a name is no help.
const SIMILARITY_MIN: f64 = 0.75;

/// Bytes of a longer name are like no name that there is.
const NAME_BYTES_MAX: usize = 100;

/// The known name most like `name`, if any is like it at all.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = Some(name).filter(|name| name.len() <= NAME_BYTES_MAX)?.to_lowercase();
    let similarity = |other: &str| strsim::jaro_winkler(&name, &other.to_lowercase());
    known
        .into_iter()
        .map(|other| (similarity(other), other))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, other)| other)
}

/// `; did you mean X?`, or nothing.
pub(super) fn hint<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map_or_else(String::new, |found| format!("; did you mean `{found}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_the_name() {
        let known = ["parquet.dir", "parquet.file_age", "ring_bytes", "openat"];
        for (name, found) in [
            ("parquet.dri", Some("parquet.dir")),
            ("ring_byte", Some("ring_bytes")),
            ("opennat", Some("openat")),
            ("OPENAT", Some("openat")),
            ("zzz", None),
        ] {
            assert_eq!(nearest(name, known), found, "{name}");
        }
    }
}
