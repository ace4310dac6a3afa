//! Credential objects: a bundle, wrapped by a passphrase or a key file (`docs/format.md`, section 3, *Credentials*).

use super::bundle::{Access, Bundle, Opened, PADDED_LEN, ReadKeys, WriteKeys};
use super::certificate::Role;
use super::kdf::{self, Derived, KdfError, KdfParams};
use super::key_file::KeyFile;
use super::passphrase::Passphrase;
use super::sign::{ADMIN_BLOCK_LEN, Authority, SignatureError, verify_object};
use crate::repo::cbor::{self, Time};
use crate::repo::codec::{Cursor, Malformed};
use crate::repo::format::{Kind, key};
use crate::repo::header::{HeaderError, check_header};
use crate::repo::id::{CredentialId, RepositoryId};
use crate::repo::needs::NeedsError;
use crate::repo::seal::{SALTED_OVERHEAD, SealKey, TAG_LEN, open_once, open_salted, random, seal_once, seal_salted};
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

/// Bytes that authenticate everything else: header to commitment.
const CLEAR_LEN: usize = 120;
const COMMITMENT_AT: usize = 88;
const SALT_AT: usize = 56;
const LABEL_PADDED_LEN: usize = 240;
const LABEL_AT: usize = CLEAR_LEN + PADDED_LEN + TAG_LEN;
const SIGNATURE_AT: usize = LABEL_AT + LABEL_PADDED_LEN + SALTED_OVERHEAD;

/// What opens a credential.
pub enum Secret {
    /// Something a person knows.
    Passphrase(Passphrase),
    /// Something a machine has.
    KeyFile(KeyFile),
}

/// How a credential is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// By a passphrase, derived from with these parameters.
    Passphrase(KdfParams),
    /// By a key file.
    KeyFile,
}

/// What people see of a credential. Sealed so that every credential reads it, and nobody else.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Label {
    /// A person's name for it.
    #[n(1)]
    pub text: String,
    /// When it was made.
    #[n(2)]
    pub created: Time,
    /// Where it was made.
    #[n(3)]
    pub host: String,
}

/// Which credential is the matter, and what's the matter with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("credentials/{credential}: {fault}")]
pub struct CredentialError {
    /// The credential, as its object's name has it.
    pub credential: CredentialId,
    /// What's the matter.
    pub fault: Fault,
}

/// What's the matter with a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not a credential, or one that a newer program wrote.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Bytes that no program writes.
    #[error("damaged: {0}")]
    Malformed(#[from] Malformed),
    /// The derivation isn't done.
    #[error(transparent)]
    Kdf(#[from] KdfError),
    /// It is opened by a key file, and this is a passphrase; or the other way round.
    #[error("opened by the other kind of secret")]
    OtherMethod,
    /// The secret doesn't open it (or the salt, parameters or commitment are damaged: these can't be told apart).
    #[error("wrong passphrase or key file")]
    WrongSecret,
    /// The secret is right, and what it should open is damaged.
    #[error("damaged: the secret is right, but the keys can't be opened")]
    Damaged,
    /// The bundle needs a feature that this program doesn't know.
    #[error("needs the feature {0:?}, which this nightsafe doesn't know")]
    Needs(String),
    /// Not signed by the admin key.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The label doesn't fit.
    #[error("the name and the host together are too long")]
    LabelTooLong,
}

/// A credential object as it was read: in form, but nothing in it is verified before it's opened.
#[derive(Clone)]
pub struct Credential {
    id: CredentialId,
    method: Method,
    role: Role,
    repository: RepositoryId,
    bytes: Vec<u8>,
}

impl Credential {
    /// Length of the object in bytes.
    pub const LEN: usize = SIGNATURE_AT + ADMIN_BLOCK_LEN;

    /// The object of `credential`, as found under its name.
    pub fn parse(credential: CredentialId, bytes: &[u8]) -> Result<Self, CredentialError> {
        parse(credential, bytes).map_err(|fault| CredentialError { credential, fault })
    }

    /// The credential.
    pub const fn id(&self) -> CredentialId {
        self.id
    }

    /// What opens it.
    pub const fn method(&self) -> Method {
        self.method
    }

    /// What it claims to be for; believe it only after [`Self::verify`].
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The repository that it claims to be of; believe it only after [`Self::verify`].
    pub const fn repository(&self) -> RepositoryId {
        self.repository
    }

    /// The object's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Opens the bundle and verifies all of the object: what comes out is believed.
    pub fn open(&self, secret: &Secret) -> Result<Opened, CredentialError> {
        self.open_bundle(secret).map_err(|fault| self.error(fault))
    }

    /// Verifies, for who has opened another credential of the repository, that the admin key signed this one.
    pub fn verify(&self, authority: &Authority) -> Result<(), CredentialError> {
        if self.repository != authority.repository() {
            return Err(self.error(Malformed("repository id").into()));
        }
        let verified = verify_object(authority, &key::credential(self.id), &self.bytes);
        verified.map(|_| ()).map_err(|error| self.error(error.into()))
    }

    /// What people see of it, once it's verified.
    pub fn label(&self, keys: &impl Access) -> Result<Label, CredentialError> {
        self.verify(keys.authority())?;
        self.open_label(keys.common()).map_err(|fault| self.error(fault))
    }

    /// The object for a new bundle. `params` only matter with a passphrase.
    pub fn seal(
        bundle: &Bundle,
        admin: &ReadKeys,
        secret: &Secret,
        params: KdfParams,
        label: &Label,
    ) -> Result<Self, CredentialError> {
        let credential = bundle.credential();
        let bytes =
            seal(bundle, admin, secret, params, label).map_err(|fault| CredentialError { credential, fault })?;
        Self::parse(credential, &bytes)
    }

    fn error(&self, fault: Fault) -> CredentialError {
        CredentialError { credential: self.id, fault }
    }

    fn open_bundle(&self, secret: &Secret) -> Result<Opened, Fault> {
        let mut cursor = Cursor::new("credential", &self.bytes);
        let clear = cursor.bytes(CLEAR_LEN)?;
        let salt: [u8; 32] = Cursor::new("salt", &clear[SALT_AT..]).array()?;
        let commitment: [u8; 32] = Cursor::new("commitment", &clear[COMMITMENT_AT..]).array()?;
        let derived = derive(self.method, secret, &salt)?;
        if !derived.is_committed_to(&commitment) {
            return Err(Fault::WrongSecret);
        }
        let padded = open_once(&derived.key, clear, cursor.bytes(PADDED_LEN + TAG_LEN)?).map_err(|_| Fault::Damaged)?;
        let bundle = Bundle::decode(unpad("bundle", &padded)?).map_err(|error| match error {
            NeedsError::Malformed(error) => Fault::Malformed(error),
            NeedsError::Unknown(feature) => Fault::Needs(feature),
        })?;
        let same = bundle.credential() == self.id
            && bundle.repository() == self.repository
            && bundle.role_code() == self.role.code();
        if !same {
            return Err(Malformed("bundle: another credential's").into());
        }
        let opened = bundle.open()?;
        let (Opened::Full(keys, _) | Opened::WriteOnly(keys)) = &opened;
        self.verify_and_label(keys)?;
        Ok(opened)
    }

    fn verify_and_label(&self, keys: &WriteKeys) -> Result<(), Fault> {
        verify_object(keys.authority(), &key::credential(self.id), &self.bytes)?;
        self.open_label(keys.common()).map(|_| ())
    }

    fn open_label(&self, common: &SealKey) -> Result<Label, Fault> {
        let sealed = &self.bytes[LABEL_AT..SIGNATURE_AT];
        let padded =
            open_salted(common, b"label", &[&self.bytes[..CLEAR_LEN]], sealed).map_err(|_| Malformed("label"))?;
        Ok(cbor::decode("label", unpad("label", &padded)?)?)
    }
}

fn parse(id: CredentialId, bytes: &[u8]) -> Result<Credential, Fault> {
    let rest = check_header(Kind::Credential, bytes)?;
    if bytes.len() != Credential::LEN {
        return Err(Malformed("credential of another length").into());
    }
    let mut cursor = Cursor::new("credential", rest);
    let method = cursor.u8()?;
    let role = Role::from_code(cursor.u8()?).ok_or(Malformed("role"))?;
    if cursor.u16()? != 0 {
        return Err(Malformed("reserved bytes").into());
    }
    let method = match (method, [cursor.u32()?, cursor.u32()?, cursor.u32()?]) {
        (1, [memory_kib, passes, lanes]) => Method::Passphrase(KdfParams::new(memory_kib, passes, lanes)?),
        (2, [0, 0, 0]) => Method::KeyFile,
        _ => return Err(Malformed("method of opening").into()),
    };
    let repository = RepositoryId::from_bytes(cursor.array()?);
    if CredentialId::from_bytes(cursor.array()?) != id {
        return Err(Malformed("credential under another's name").into());
    }
    Ok(Credential { id, method, role, repository, bytes: bytes.to_vec() })
}

fn derive(method: Method, secret: &Secret, salt: &[u8; 32]) -> Result<Derived, Fault> {
    match (method, secret) {
        (Method::Passphrase(params), Secret::Passphrase(passphrase)) => {
            Ok(kdf::from_passphrase(passphrase, salt, params)?)
        }
        (Method::KeyFile, Secret::KeyFile(key_file)) => Ok(kdf::from_key_file(key_file, salt)),
        (Method::Passphrase(_), Secret::KeyFile(_)) | (Method::KeyFile, Secret::Passphrase(_)) => {
            Err(Fault::OtherMethod)
        }
    }
}

fn seal(
    bundle: &Bundle,
    admin: &ReadKeys,
    secret: &Secret,
    params: KdfParams,
    label: &Label,
) -> Result<Vec<u8>, Fault> {
    seal_padded(bundle, &bundle.encode(), admin, secret, params, &cbor::encode(label))
}

/// Apart from [`seal`] so that tests can seal what isn't a bundle.
pub(super) fn seal_padded(
    bundle: &Bundle,
    bundle_cbor: &[u8],
    admin: &ReadKeys,
    secret: &Secret,
    params: KdfParams,
    label_cbor: &[u8],
) -> Result<Vec<u8>, Fault> {
    let (method, code, numbers) = match secret {
        Secret::Passphrase(_) => {
            (Method::Passphrase(params), 1, [params.memory_kib(), params.passes(), params.lanes()])
        }
        Secret::KeyFile(_) => (Method::KeyFile, 2, [0; 3]),
    };
    let salt: [u8; 32] = random();
    let derived = derive(method, secret, &salt)?;
    let mut object = Vec::with_capacity(Credential::LEN);
    object.extend_from_slice(&Kind::Credential.header());
    object.extend_from_slice(&[code, bundle.role_code(), 0, 0]);
    for number in numbers {
        object.extend_from_slice(&number.to_le_bytes());
    }
    object.extend_from_slice(bundle.repository().as_bytes());
    object.extend_from_slice(bundle.credential().as_bytes());
    object.extend_from_slice(&salt);
    object.extend_from_slice(&derived.commitment);

    let padded = pad(bundle_cbor, PADDED_LEN).ok_or(Malformed("bundle of too many bytes"))?;
    let sealed_bundle = seal_once(derived.key, &object, &padded);
    let padded = pad(label_cbor, LABEL_PADDED_LEN).ok_or(Fault::LabelTooLong)?;
    let sealed_label = seal_salted(admin.common(), b"label", &[&object], &padded);
    object.extend_from_slice(&sealed_bundle);
    object.extend_from_slice(&sealed_label);
    Ok(admin.sign_object(&key::credential(bundle.credential()), object))
}

/// `u16` length ‖ bytes ‖ zeros; `None` if they don't fit.
fn pad(bytes: &[u8], padded_len: usize) -> Option<Zeroizing<Vec<u8>>> {
    let length = u16::try_from(bytes.len()).ok()?;
    let mut padded = Zeroizing::new(vec![0; padded_len]);
    padded.get_mut(..2)?.copy_from_slice(&length.to_le_bytes());
    padded.get_mut(2..2 + bytes.len())?.copy_from_slice(bytes);
    Some(padded)
}

fn unpad<'a>(what: &'static str, padded: &'a [u8]) -> Result<&'a [u8], Malformed> {
    let mut cursor = Cursor::new(what, padded);
    let length = cursor.u16()?;
    let bytes = cursor.bytes(usize::from(length))?;
    if cursor.rest().iter().all(|&byte| byte == 0) { Ok(bytes) } else { Err(Malformed(what)) }
}

#[cfg(test)]
mod tests;
