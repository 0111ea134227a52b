//! What follows from an error.

use std::io;

use bollard::errors::Error;

use super::super::reply::Reply;

pub(super) fn reply(error: &Error) -> Reply {
    match error {
        Error::DockerResponseServerError { status_code: 404, .. } => Reply::Absent,
        Error::DockerResponseServerError { status_code: 429 | 500.., .. } => Reply::trouble(&error.to_string()),
        Error::RequestTimeoutError => Reply::trouble(&error.to_string()),
        Error::IOError { .. } | Error::HyperResponseError { .. } => of_connection(error),
        _ => Reply::refused(&error.to_string()),
    }
}

/// A connection fails for now, unless the reason stays.
fn of_connection(error: &Error) -> Reply {
    match cause(error) {
        Some(cause) if stays(cause.kind()) => Reply::refused(&cause.to_string()),
        Some(cause) => Reply::trouble(&cause.to_string()),
        None => Reply::trouble(&error.to_string()),
    }
}

fn stays(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::PermissionDenied | io::ErrorKind::FileTooLarge)
}

/// The system's error beneath; bollard's own shows itself as the one that it holds.
fn cause(error: &Error) -> Option<&io::Error> {
    if let Error::IOError { err } = error {
        return Some(err);
    }
    let Error::HyperResponseError { err } = error else { return None };
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(err);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<io::Error>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_status(status_code: u16) -> Reply {
        reply(&Error::DockerResponseServerError { status_code, message: "why".into() })
    }

    #[test]
    fn only_what_may_pass_is_trouble() {
        assert_eq!(of_status(404), Reply::Absent);
        assert!(matches!(of_status(400), Reply::Refused(_)));
        assert!(matches!(of_status(503), Reply::Trouble(_)));
        assert!(matches!(reply(&Error::RequestTimeoutError), Reply::Trouble(_)));
        assert!(matches!(reply(&Error::APIVersionParseError {}), Reply::Refused(_)));
        let of_kind = |kind: io::ErrorKind| reply(&Error::from(io::Error::from(kind)));
        assert!(matches!(of_kind(io::ErrorKind::NotFound), Reply::Trouble(_)));
        assert!(matches!(of_kind(io::ErrorKind::PermissionDenied), Reply::Refused(_)));
    }

    #[test]
    fn a_reason_is_bounded() {
        let error = Error::DockerResponseServerError { status_code: 500, message: "é".repeat(100_000) };
        let Reply::Trouble(why) = reply(&error) else { panic!("not trouble") };
        assert!(why.len() <= 512);
    }
}
