//! Run keys and their wraps: HPKE to the restore key (`docs/format.md`, section 2).

use super::bundle::{ReadKeys, WriteKeys};
#[cfg(test)]
use crate::repo::determined;
use crate::repo::id::{RepositoryId, RunId};
use crate::repo::seal::SealKey;
use hpke::{Deserializable, OpModeR, OpModeS, PskBundle, Serializable};
use std::fmt;
use zeroize::Zeroizing;

/// DHKEM(X25519, HKDF-SHA256).
pub(super) type Kem = hpke::kem::X25519HkdfSha256;
type Kdf = hpke::kdf::HkdfSha256;
type Aead = hpke::aead::ChaCha20Poly1305;
/// The public half of the restore key.
pub(super) type RestorePublic = <Kem as hpke::Kem>::PublicKey;
/// The secret half of the restore key; wiped when dropped.
pub(super) type RestoreSecret = <Kem as hpke::Kem>::PrivateKey;

const INFO: &[u8] = b"nightsafe 1";
const PSK_ID: &[u8] = b"nightsafe 1 psk";

/// Bytes of the encapsulated key that a wrap begins with.
const ENC_LEN: usize = 32;

/// What seals the frames and the sealed part of the manifest of one run. Exists only in memory and in wraps.
pub struct RunKey(SealKey);

impl RunKey {
    /// A new random key, for a new run.
    pub fn generate() -> Self {
        Self(SealKey::generate())
    }

    /// The key to seal by.
    pub const fn seal_key(&self) -> &SealKey {
        &self.0
    }

    #[cfg(test)]
    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(SealKey::from_bytes(bytes))
    }
}

/// A run key, sealed to the restore key: only full credentials get it out again, not even who put it in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Wrap([u8; 80]);

impl Wrap {
    /// Length in bytes.
    pub const LEN: usize = 80;

    /// The wrap with these bytes.
    pub const fn from_bytes(bytes: [u8; 80]) -> Self {
        Self(bytes)
    }

    /// The bytes of the wrap.
    pub const fn as_bytes(&self) -> &[u8; 80] {
        &self.0
    }
}

/// A wrap that doesn't hold a key of the run it's said to belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the wrapped key of run {run} can't be opened: altered, or of another run or repository")]
pub struct WrapError {
    /// The run.
    pub run: RunId,
}

impl WriteKeys {
    /// Seals a run key to the repository's restore key. Every call gives other bytes.
    ///
    /// # Panics
    /// Never: sealing to the restore key was tried when the bundle was opened.
    pub fn wrap(&self, key: &RunKey, run: RunId) -> Wrap {
        seal(&self.restore, &self.psk, self.authority().repository(), key, run)
            .expect("this restore key was sealed to when the bundle was opened")
    }
}

impl ReadKeys {
    /// The key that `wrap` holds for `run`.
    pub fn unwrap_run_key(&self, wrap: &Wrap, run: RunId) -> Result<RunKey, WrapError> {
        open(&self.restore, &self.psk, self.authority().repository(), wrap, run).ok_or(WrapError { run })
    }
}

/// `info` of the specification.
fn info(repository: RepositoryId, run: RunId) -> Vec<u8> {
    [INFO, repository.as_bytes(), run.as_bytes()].concat()
}

/// `None` if the public key is one that no secret can be agreed with.
pub(super) fn seal(
    restore: &RestorePublic,
    psk: &[u8; 32],
    repository: RepositoryId,
    key: &RunKey,
    run: RunId,
) -> Option<Wrap> {
    let mode = OpModeS::Psk(PskBundle::new(psk, PSK_ID).ok()?);
    let info = info(repository, run);
    #[cfg(test)]
    if determined::is_on() {
        let (words, bytes) = (&mut determined::Words, key.0.as_bytes());
        let sealed = hpke::single_shot_seal_with_rng::<Aead, Kdf, Kem>(&mode, restore, &info, bytes, b"", words);
        return sealed.ok().and_then(|(enc, sealed)| join(&enc, &sealed));
    }
    let (enc, sealed) = hpke::single_shot_seal::<Aead, Kdf, Kem>(&mode, restore, &info, key.0.as_bytes(), b"").ok()?;
    join(&enc, &sealed)
}

/// The encapsulated key and what it seals.
fn join(enc: &<Kem as hpke::Kem>::EncappedKey, sealed: &[u8]) -> Option<Wrap> {
    let mut wrap = [0; Wrap::LEN];
    wrap[..ENC_LEN].copy_from_slice(&enc.to_bytes());
    wrap.get_mut(ENC_LEN..).filter(|rest| rest.len() == sealed.len())?.copy_from_slice(sealed);
    Some(Wrap(wrap))
}

fn open(restore: &RestoreSecret, psk: &[u8; 32], repository: RepositoryId, wrap: &Wrap, run: RunId) -> Option<RunKey> {
    let mode = OpModeR::Psk(PskBundle::new(psk, PSK_ID).ok()?);
    let (enc, sealed) = wrap.0.split_at(ENC_LEN);
    let enc = <Kem as hpke::Kem>::EncappedKey::from_bytes(enc).ok()?;
    let info = info(repository, run);
    let key = hpke::single_shot_open::<Aead, Kdf, Kem>(&mode, restore, &enc, &info, sealed, b"").ok()?;
    let key = Zeroizing::new(key);
    Some(RunKey(SealKey::from_bytes(key.as_slice().try_into().ok()?)))
}

impl fmt::Debug for Wrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wrap(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

impl<C> minicbor::Encode<C> for Wrap {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Wrap {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let wrong = |_| minicbor::decode::Error::message("wrap of another length");
        d.bytes()?.try_into().map(Self).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::keys::testing::{hex, repository};

    const KEY: [u8; 32] = [9; 32];

    /// RFC 9180, appendix A.2.2: the same suite in the same mode.
    #[test]
    fn the_suite_is_rfc_9180s() {
        let secret =
            RestoreSecret::from_bytes(&hex("77d114e0212be51cb1d76fa99dd41cfd4d0166b08caa09074430a6c59ef17879"));
        let enc = hex("2261299c3f40a9afc133b969a97f05e95be2c514e54f3de26cbe5644ac735b04");
        let psk = hex("0247fd33b913760fa1fa51e1892d9f307fbe65eb171e8132c2af18555a738b82");
        let sealed = hex("4a177f9c0d6f15cfdf533fb65bf84aecdc6ab16b8b85b4cf65a370e07fc1d78d28fb073214525276f4a89608ff");
        let mode = OpModeR::Psk(PskBundle::new(&psk, b"Ennyn Durin aran Moria").unwrap());
        let plain = hpke::single_shot_open::<Aead, Kdf, Kem>(
            &mode,
            &secret.unwrap(),
            &Deserializable::from_bytes(&enc).unwrap(),
            b"Ode on a Grecian Urn",
            &sealed,
            b"Count-0",
        );
        assert_eq!(plain.unwrap(), b"Beauty is truth, truth beauty");
    }

    #[test]
    fn a_wrap_opens_for_its_run_only() {
        let (write, read) = repository();
        let run = write.new_run();
        let wrap = write.wrap(&RunKey::from_bytes(KEY), run);
        assert_eq!(read.unwrap_run_key(&wrap, run).unwrap().0.as_bytes(), &KEY);
        let other = write.new_run();
        assert_eq!(read.unwrap_run_key(&wrap, other).err(), Some(WrapError { run: other }));
        let (_, foreign) = repository();
        assert!(foreign.unwrap_run_key(&wrap, run).is_err());
        assert_ne!(wrap, write.wrap(&RunKey::from_bytes(KEY), run), "the same key wraps differently each time");
    }

    #[test]
    fn every_altered_bit_is_refused() {
        let (write, read) = repository();
        let run = write.new_run();
        let wrap = write.wrap(&RunKey::from_bytes(KEY), run);
        for bit in 0..Wrap::LEN * 8 {
            let mut bytes = *wrap.as_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(read.unwrap_run_key(&Wrap(bytes), run).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn the_public_key_alone_does_not_suffice_to_forge_a_wrap() {
        let (write, read) = repository();
        let run = write.new_run();
        let forged = seal(&write.restore, &[0; 32], write.authority().repository(), &RunKey::from_bytes(KEY), run);
        assert!(read.unwrap_run_key(&forged.unwrap(), run).is_err());
    }

    #[test]
    fn a_public_key_that_nothing_can_be_agreed_with_is_refused() {
        let (write, _) = repository();
        let zero = RestorePublic::from_bytes(&[0; 32]).unwrap();
        let key = RunKey::from_bytes(KEY);
        assert_eq!(seal(&zero, &write.psk, write.authority().repository(), &key, write.new_run()), None);
    }
}
