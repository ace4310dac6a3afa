//! What a manifest knows of the application that a snapshot is of (`docs/format.md`, section 8).

use minicbor::decode::Error as DecodeError;
use minicbor::encode::{Error as EncodeError, Write};
use minicbor::{Decode, Decoder, Encode, Encoder};

/// Version and keys of an application.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Application {
    /// Its version: what the configured command or file said, else the label of its image, else the tag.
    #[n(0)]
    pub version: Option<String>,
    /// The images that its containers run.
    #[n(1)]
    pub images: Vec<Image>,
    /// The keys that its data or its users' sessions need.
    #[n(2)]
    pub keys: Vec<Key>,
}

/// The image that a service's container runs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Image {
    /// The service.
    #[n(0)]
    pub service: String,
    /// The image as it was asked for, such as `postgres:16`.
    #[n(1)]
    pub image: String,
    /// Its digest in the registry.
    #[n(2)]
    pub digest: Option<String>,
    /// Its label `org.opencontainers.image.version`.
    #[n(3)]
    pub version: Option<String>,
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyUse {
    /// Data can't be read without it.
    Decrypts = 0,
    /// Sessions and links become invalid without it.
    Signs = 1,
}

impl<C> Encode<C> for KeyUse {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.u8(*self as u8)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for KeyUse {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        match d.u8()? {
            0 => Ok(Self::Decrypts),
            1 => Ok(Self::Signs),
            _ => Err(DecodeError::message("unknown use of a key")),
        }
    }
}

/// A key of an application: never its value.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Key {
    /// The variable that holds it.
    #[n(0)]
    pub variable: String,
    /// What it's for.
    #[n(1)]
    pub usage: KeyUse,
    /// The id that the application itself gives it.
    #[n(2)]
    pub id: Option<String>,
    /// A keyed hash of its value: nothing if the variable isn't set or empty.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub fingerprint: Option<[u8; 16]>,
}
