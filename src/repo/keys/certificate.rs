//! Certificates: what the admin key says about a credential's signing key (`docs/format.md`, section 3).

use super::sign::Authority;
use crate::repo::codec::{Cursor, Malformed};
use crate::repo::id::{CredentialId, DomainId};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

const CONTEXT: &[u8] = b"nightsafe 1 certificate";

/// Bytes of the statement, in front of its signature.
const STATEMENT_LEN: usize = 65;

/// What a credential may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Read, write, forget, manage credentials.
    Full = 1,
    /// Back up, without reading a byte of any backup.
    WriteOnly = 2,
}

impl Role {
    /// The role with this code.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Full),
            2 => Some(Self::WriteOnly),
            _ => None,
        }
    }

    /// The code that stands for the role.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// A certificate that isn't one of this repository's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the certificate was not issued by this repository's admin key")]
pub struct CertificateError;

/// A verified certificate: whose signing key it is, and what that credential may do. Public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certificate {
    credential: CredentialId,
    role: Role,
    domain: DomainId,
    bytes: [u8; 129],
}

impl Certificate {
    /// Length in bytes.
    pub const LEN: usize = 129;

    /// Issues a certificate.
    pub(super) fn issue(
        admin: &SigningKey,
        authority: &Authority,
        credential: CredentialId,
        role: Role,
        domain: DomainId,
        key: VerifyingKey,
    ) -> Self {
        let statement = [credential.as_bytes().as_slice(), &[role.code()], domain.as_bytes(), key.as_bytes()].concat();
        let signature = admin.sign(&message(authority, &statement)).to_bytes();
        let mut bytes = [0; Self::LEN];
        bytes[..STATEMENT_LEN].copy_from_slice(&statement);
        bytes[STATEMENT_LEN..].copy_from_slice(&signature);
        Self { credential, role, domain, bytes }
    }

    /// The certificate that `bytes` hold, if `authority` issued it.
    pub fn verify(bytes: &[u8; 129], authority: &Authority) -> Result<Self, CertificateError> {
        Self::verify_with_key(bytes, authority).map(|(certificate, _)| certificate)
    }

    /// As [`Self::verify`], with what the credential's signatures are verified with.
    pub(super) fn verify_with_key(
        bytes: &[u8; 129],
        authority: &Authority,
    ) -> Result<(Self, VerifyingKey), CertificateError> {
        Self::parse(bytes, authority).map_err(|_| CertificateError)
    }

    fn parse(bytes: &[u8; 129], authority: &Authority) -> Result<(Self, VerifyingKey), Malformed> {
        let mut cursor = Cursor::new("certificate", bytes);
        let wrong = cursor.malformed();
        let credential = CredentialId::from_bytes(cursor.array()?);
        let role = Role::from_code(cursor.u8()?).ok_or(wrong)?;
        let domain = DomainId::from_bytes(cursor.array()?);
        let key = VerifyingKey::from_bytes(&cursor.array()?).map_err(|_| wrong)?;
        let signature = Signature::from_bytes(&cursor.array()?);
        let signed = message(authority, &bytes[..STATEMENT_LEN]);
        authority.admin().verify_strict(&signed, &signature).map_err(|_| wrong)?;
        Ok((Self { credential, role, domain, bytes: *bytes }, key))
    }

    /// The credential.
    pub const fn credential(&self) -> CredentialId {
        self.credential
    }

    /// What the credential may do.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The domain that the credential belongs to.
    pub const fn domain(&self) -> DomainId {
        self.domain
    }

    /// The bytes of the certificate.
    pub const fn as_bytes(&self) -> &[u8; 129] {
        &self.bytes
    }

    /// Whether the credential may have written things of `domain`: full ones write for all, as when they rewrite packs.
    pub fn may_write_for(&self, domain: DomainId) -> bool {
        self.role == Role::Full || self.domain == domain
    }
}

fn message(authority: &Authority, statement: &[u8]) -> Vec<u8> {
    [CONTEXT, authority.repository().as_bytes(), statement].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::keys::testing::repository;

    #[test]
    fn every_altered_bit_and_every_other_repository_is_refused() {
        let (write, _) = repository();
        let certificate = *write.certificate();
        assert_eq!(Certificate::verify(certificate.as_bytes(), write.authority()), Ok(certificate));
        for bit in 0..Certificate::LEN * 8 {
            let mut bytes = *certificate.as_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Certificate::verify(&bytes, write.authority()), Err(CertificateError), "bit {bit}");
        }
        let (other, _) = repository();
        assert_eq!(Certificate::verify(certificate.as_bytes(), other.authority()), Err(CertificateError));
    }
}
