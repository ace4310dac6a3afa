//! What is said about an application.
#![expect(missing_docs, reason = "docs/json.md says what each field means, and a test that none is missing there")]

use super::hex;
use crate::snapshot::manifest::application::{self, KeyUse};
use serde::Serialize;

/// Version, images and keys of an application.
#[derive(Debug, Clone, Serialize)]
pub struct Application {
    pub version: Option<String>,
    pub images: Vec<Image>,
    pub keys: Vec<Key>,
}

/// The image of a service.
#[derive(Debug, Clone, Serialize)]
pub struct Image {
    pub service: String,
    pub image: String,
    pub digest: Option<String>,
    pub version: Option<String>,
}

/// A key: never its value.
#[derive(Debug, Clone, Serialize)]
pub struct Key {
    pub variable: String,
    #[serde(rename = "use")]
    pub usage: &'static str,
    pub id: Option<String>,
    pub fingerprint: Option<String>,
}

impl From<&application::Application> for Application {
    fn from(of: &application::Application) -> Self {
        Self {
            version: of.version.clone(),
            images: of.images.iter().map(Image::from).collect(),
            keys: of.keys.iter().map(Key::from).collect(),
        }
    }
}

impl From<&application::Image> for Image {
    fn from(of: &application::Image) -> Self {
        let (service, image) = (of.service.clone(), of.image.clone());
        Self { service, image, digest: of.digest.clone(), version: of.version.clone() }
    }
}

impl From<&application::Key> for Key {
    fn from(of: &application::Key) -> Self {
        Self {
            variable: of.variable.clone(),
            usage: key_use(of.usage),
            id: of.id.clone(),
            fingerprint: of.fingerprint.map(|fingerprint| hex(&fingerprint)),
        }
    }
}

/// The word for what a key is for.
pub fn key_use(usage: KeyUse) -> &'static str {
    match usage {
        KeyUse::Decrypts => "decrypts",
        KeyUse::Signs => "signs",
    }
}
