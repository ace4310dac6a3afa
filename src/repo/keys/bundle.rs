//! Bundles: all keys of one credential (`docs/format.md`, sections 2 and 3), and what each kind of credential can do with them.

use super::certificate::{Certificate, Role};
use super::domain::{DomainKeys, DomainRoot};
use super::sign::Authority;
use super::wrap::{self, Kem, RestorePublic, RestoreSecret, RunKey};
use crate::repo::codec::Malformed;
use crate::repo::id::{CredentialId, DomainId, RepositoryId, RunId};
use crate::repo::needs::{self, Needs, NeedsError};
use crate::repo::seal::{SealKey, random};
use ed25519_dalek::{SigningKey, VerifyingKey};
use hpke::{Deserializable, Kem as _, Serializable};
use minicbor::{Decode, Encode};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes that a bundle is padded to.
pub(super) const PADDED_LEN: usize = 1024;

/// What every credential has: enough to back up, and to recognise what it and its domain wrote.
pub struct WriteKeys {
    authority: Authority,
    pub(super) restore: RestorePublic,
    pub(super) psk: Zeroizing<[u8; 32]>,
    common: SealKey,
    pub(super) signing: SigningKey,
    certificate: Certificate,
    domain: DomainKeys,
}

/// What only full credentials have: enough to read everything, to forget, and to make credentials.
pub struct ReadKeys {
    authority: Authority,
    pub(super) restore: RestoreSecret,
    pub(super) psk: Zeroizing<[u8; 32]>,
    common: SealKey,
    pub(super) admin: SigningKey,
    master: Zeroizing<[u8; 32]>,
}

/// What a credential gives when it's opened.
#[expect(clippy::large_enum_variant, reason = "one of it exists, and is taken apart at once")]
pub enum Opened {
    /// A full credential.
    Full(WriteKeys, ReadKeys),
    /// A write-only one.
    WriteOnly(WriteKeys),
}

/// Whom a write-only credential deduplicates with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Nobody: a domain of its own, so that it can't find out what others have stored.
    Alone,
    /// All credentials of this domain, which can then tell which chunks it has, as it can of theirs.
    With(DomainId),
}

/// All keys of one credential, not yet sealed.
pub struct Bundle(pub(super) Record);

/// The bundle's CBOR.
#[derive(Encode, Decode, Zeroize, ZeroizeOnDrop)]
#[cbor(map)]
pub(super) struct Record {
    #[n(0)]
    #[zeroize(skip)]
    needs: Needs,
    #[n(1)]
    #[zeroize(skip)]
    pub(super) repository: RepositoryId,
    #[n(2)]
    #[zeroize(skip)]
    pub(super) credential: CredentialId,
    #[n(3)]
    role: u8,
    #[cbor(n(4), with = "minicbor::bytes")]
    restore_public: [u8; 32],
    #[cbor(n(5), with = "minicbor::bytes")]
    psk: [u8; 32],
    #[cbor(n(6), with = "minicbor::bytes")]
    admin_public: [u8; 32],
    #[cbor(n(7), with = "minicbor::bytes")]
    common: [u8; 32],
    #[cbor(n(8), with = "minicbor::bytes")]
    signing_seed: [u8; 32],
    #[n(9)]
    #[zeroize(skip)]
    domain: DomainId,
    #[cbor(n(10), with = "minicbor::bytes")]
    domain_root: [u8; 32],
    #[cbor(n(11), with = "minicbor::bytes")]
    certificate: [u8; 129],
    #[cbor(n(12), with = "minicbor::bytes")]
    pub(super) restore_secret: Option<[u8; 32]>,
    #[cbor(n(13), with = "minicbor::bytes")]
    pub(super) admin_seed: Option<[u8; 32]>,
    #[cbor(n(14), with = "minicbor::bytes")]
    pub(super) master: Option<[u8; 32]>,
}

/// What can open things that are sealed for domains: their own one with [`WriteKeys`], any with [`ReadKeys`].
pub trait Access {
    /// Which repository this is, and whose word counts there.
    fn authority(&self) -> &Authority;
    /// What seals the things that every credential may read.
    fn common(&self) -> &SealKey;
    /// What seals the things that a writer of `domain` must read again; `None` for a domain that these keys don't open.
    fn index_key(&self, domain: DomainId) -> Option<SealKey>;
}

impl Access for WriteKeys {
    fn authority(&self) -> &Authority {
        &self.authority
    }

    fn common(&self) -> &SealKey {
        &self.common
    }

    fn index_key(&self, domain: DomainId) -> Option<SealKey> {
        (domain == self.domain.id()).then(|| self.domain.index().duplicate())
    }
}

impl Access for ReadKeys {
    fn authority(&self) -> &Authority {
        &self.authority
    }

    fn common(&self) -> &SealKey {
        &self.common
    }

    fn index_key(&self, domain: DomainId) -> Option<SealKey> {
        Some(self.domain(domain).index().duplicate())
    }
}

impl WriteKeys {
    /// Which repository this is, and whose word counts there.
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The repository.
    pub const fn repository(&self) -> RepositoryId {
        self.authority.repository()
    }

    /// The credential that was opened.
    pub const fn credential(&self) -> CredentialId {
        self.certificate.credential()
    }

    /// What the credential may do.
    pub const fn role(&self) -> Role {
        self.certificate.role()
    }

    /// What the admin key says about the credential.
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The keys of the credential's domain.
    pub const fn domain(&self) -> &DomainKeys {
        &self.domain
    }

    /// The id of a new run of this credential.
    pub fn new_run(&self) -> RunId {
        RunId::new(self.credential(), random())
    }
}

impl ReadKeys {
    /// Which repository this is, and whose word counts there.
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The keys of any domain.
    pub fn domain(&self, domain: DomainId) -> DomainKeys {
        DomainKeys::derive(domain, &DomainRoot::derive(&self.master, domain))
    }

    /// A new full credential.
    pub fn new_full(&self) -> Bundle {
        let mut bundle = self.new_bundle(new_credential_id(), Role::Full, DomainId::SHARED);
        bundle.restore_secret = Some(self.restore.to_bytes().into());
        bundle.admin_seed = Some(*self.admin.as_bytes());
        bundle.master = Some(*self.master);
        Bundle(bundle)
    }

    /// A new write-only credential.
    pub fn new_write_only(&self, sharing: Sharing) -> Bundle {
        let id = new_credential_id();
        let domain = match sharing {
            Sharing::Alone => DomainId::from_bytes(*id.as_bytes()),
            Sharing::With(domain) => domain,
        };
        Bundle(self.new_bundle(id, Role::WriteOnly, domain))
    }

    fn new_bundle(&self, credential: CredentialId, role: Role, domain: DomainId) -> Record {
        let signing = SigningKey::from_bytes(&random());
        let verifying = signing.verifying_key();
        let certificate = Certificate::issue(&self.admin, &self.authority, credential, role, domain, verifying);
        Record {
            needs: Needs::NONE,
            repository: self.authority.repository(),
            credential,
            role: role.code(),
            restore_public: Kem::sk_to_pk(&self.restore).to_bytes().into(),
            psk: *self.psk,
            admin_public: *self.authority.admin().as_bytes(),
            common: *self.common.as_bytes(),
            signing_seed: *signing.as_bytes(),
            domain,
            domain_root: DomainRoot::derive(&self.master, domain).0,
            certificate: *certificate.as_bytes(),
            restore_secret: None,
            admin_seed: None,
            master: None,
        }
    }
}

/// The keys of a new repository, with a new id: what its first credentials are made from.
pub fn create_repository() -> ReadKeys {
    let admin = SigningKey::from_bytes(&random());
    let authority = Authority::new(RepositoryId::from_bytes(random()), admin.verifying_key());
    #[cfg(not(test))]
    let (restore, _) = Kem::gen_keypair();
    #[cfg(test)]
    let (restore, _) = Kem::gen_keypair_with_rng(&mut crate::repo::determined::Words);
    ReadKeys {
        authority,
        restore,
        psk: Zeroizing::new(random()),
        common: SealKey::generate(),
        admin,
        master: Zeroizing::new(random()),
    }
}

/// Not the shared domain's id, and not one that another run prefix stands for: 16 random bytes.
fn new_credential_id() -> CredentialId {
    CredentialId::from_bytes(random())
}

impl Bundle {
    /// The credential that the bundle is for.
    pub const fn credential(&self) -> CredentialId {
        self.0.credential
    }

    pub(super) const fn repository(&self) -> RepositoryId {
        self.0.repository
    }

    pub(super) const fn role_code(&self) -> u8 {
        self.0.role
    }

    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        // With room for the padded length nothing is moved, and no copy stays behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(2 * PADDED_LEN));
        minicbor::encode(&self.0, &mut *bytes).expect("encoding to memory can't fail");
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, NeedsError> {
        needs::decode("bundle", bytes).map(Self)
    }

    /// The keys, once everything in the bundle agrees with everything else in it.
    pub fn open(&self) -> Result<Opened, Malformed> {
        let record = &self.0;
        let write = write_keys(record)?;
        match (write.role(), record.restore_secret, record.admin_seed, record.master) {
            (Role::Full, Some(restore), Some(admin), Some(master)) => {
                let secrets = Zeroizing::new([restore, admin, master]);
                let read = read_keys(record, &write, &secrets)?;
                Ok(Opened::Full(write, read))
            }
            (Role::WriteOnly, None, None, None) => Ok(Opened::WriteOnly(write)),
            _ => Err(Malformed("bundle: not the keys of its role")),
        }
    }
}

fn write_keys(record: &Record) -> Result<WriteKeys, Malformed> {
    let admin = VerifyingKey::from_bytes(&record.admin_public).map_err(|_| Malformed("bundle: admin key"))?;
    let authority = Authority::new(record.repository, admin);
    let (certificate, key) =
        Certificate::verify_with_key(&record.certificate, &authority).map_err(|_| Malformed("bundle: certificate"))?;
    let signing = SigningKey::from_bytes(&record.signing_seed);
    let certified = certificate.credential() == record.credential
        && certificate.role().code() == record.role
        && certificate.domain() == record.domain
        && key == signing.verifying_key();
    if !certified {
        return Err(Malformed("bundle: the certificate is another credential's"));
    }
    let restore = RestorePublic::from_bytes(&record.restore_public).map_err(|_| Malformed("bundle: restore key"))?;
    // Tried once, so that no run finds out later that nothing can be sealed to this key.
    let run = RunId::new(record.credential, [0; 16]);
    wrap::seal(&restore, &record.psk, record.repository, &RunKey::generate(), run)
        .ok_or(Malformed("bundle: restore key"))?;
    Ok(WriteKeys {
        authority,
        restore,
        psk: Zeroizing::new(record.psk),
        common: SealKey::from_bytes(record.common),
        signing,
        certificate,
        domain: DomainKeys::derive(record.domain, &DomainRoot(record.domain_root)),
    })
}

/// `secrets`: of the restore key, the admin key's seed, the master.
fn read_keys(record: &Record, write: &WriteKeys, secrets: &[[u8; 32]; 3]) -> Result<ReadKeys, Malformed> {
    let [restore, admin, master] = secrets;
    let restore = RestoreSecret::from_bytes(restore).map_err(|_| Malformed("bundle: restore key"))?;
    let admin = SigningKey::from_bytes(admin);
    let root = DomainRoot::derive(master, record.domain);
    let agrees = record.domain == DomainId::SHARED
        && Kem::sk_to_pk(&restore) == write.restore
        && admin.verifying_key() == *write.authority.admin()
        && blake3::Hash::from_bytes(root.0) == record.domain_root;
    if !agrees {
        return Err(Malformed("bundle: secret keys that don't belong to the public ones"));
    }
    Ok(ReadKeys {
        authority: write.authority,
        restore,
        psk: write.psk.clone(),
        common: write.common.duplicate(),
        admin,
        master: Zeroizing::new(*master),
    })
}

#[cfg(test)]
mod tests;
