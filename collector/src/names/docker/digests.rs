//! Digests of images: a second request, once per image.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::limits::{DIGEST_BYTES_MAX, ID_BYTES_MAX, IMAGES_MAX};

/// What was found, by the image's id.
#[derive(Default)]
pub(super) struct Digests(Mutex<HashMap<String, String>>);

impl Digests {
    /// The first digest that a repository has for this image, else the image's id. A failure to ask is no failure of
    /// the look-up, and is not kept in mind.
    pub(super) async fn of(&self, client: &bollard::Docker, image: String) -> String {
        if let Some(digest) = self.known().get(&image) {
            return digest.clone();
        }
        if !is_id(&image) {
            return image;
        }
        let Ok(answer) = client.inspect_image(&image).await else { return image };
        let first = answer.repo_digests.unwrap_or_default().into_iter().next();
        let digest = first.filter(|digest| digest.len() <= DIGEST_BYTES_MAX).unwrap_or_else(|| image.clone());
        self.keep(image, &digest);
        digest
    }

    fn keep(&self, image: String, digest: &str) {
        let mut known = self.known();
        if known.len() >= IMAGES_MAX {
            known.clear();
        }
        known.insert(image, digest.to_owned());
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it may stand in a request: it becomes part of an address there.
fn is_id(image: &str) -> bool {
    image.len() <= ID_BYTES_MAX && image.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_in_mind_is_bounded() {
        let digests = Digests::default();
        for image in 0..3 * IMAGES_MAX {
            digests.keep(image.to_string(), "digest");
        }
        assert!((1..=IMAGES_MAX).contains(&digests.known().len()));
    }

    #[test]
    fn only_an_id_of_an_image_is_asked_for() {
        assert!(is_id("sha256:aa") && is_id("aa"));
        assert!(!is_id("../containers/aa") && !is_id("aa?b") && !is_id(&"a".repeat(ID_BYTES_MAX + 1)));
    }
}
