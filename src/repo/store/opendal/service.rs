//! The services of OpenDAL that this build has, and what must be known of each.

use ::opendal::services as configs;
use serde::de::{Deserialize, Deserializer, Visitor, value::Error as FieldError};

/// Options that a URL gives; they can't be set beside it.
const OF_THE_URL: [&str; 6] = ["root", "bucket", "container", "filesystem", "share_name", "user_metadata_prefix"];

/// One service.
#[derive(Debug)]
pub(in crate::repo::store) struct Service {
    /// Its name in a URL; OpenDAL's own.
    pub(in crate::repo::store) scheme: &'static str,
    /// Where the root is.
    pub(super) root: Root,
    /// Whether an object is written under another name and moved into place, because the service shows what is written before it is whole.
    pub(super) moves: bool,
    /// Calls at once, unless the option `connections` says another number.
    pub(super) connections: usize,
    options: fn() -> &'static [&'static str],
}

/// What the root of a repository is in a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::repo::store) enum Root {
    /// A folder, which may be missing, and which writes would create.
    Folder,
    /// A bucket, whose name is this option, and a prefix in it. It can't be created here, and writes fail without it.
    Bucket(&'static str),
}

/// Calls at once to a service that is a set of computers.
const MANY: usize = 8;

/// Calls at once to one computer; OpenSSH's server refuses more than ten connections that haven't authenticated yet.
const FEW: usize = 4;

macro_rules! services {
    ($($(#[$condition:meta])? $scheme:literal $config:ident $root:expr, moves $moves:literal, $connections:expr;)*) => {
        &[$($(#[$condition])? Service {
            scheme: $scheme,
            root: $root,
            moves: $moves,
            connections: $connections,
            options: fields_of::<configs::$config>,
        },)*]
    };
}

/// All services compiled in, by name.
pub(in crate::repo::store) static SERVICES: &[Service] = services! {
    #[cfg(feature = "store-aliyun-drive")] "aliyun-drive" AliyunDriveConfig Root::Folder, moves false, FEW;
    "azblob" AzblobConfig Root::Bucket("container"), moves false, MANY;
    "azdls" AzdlsConfig Root::Bucket("filesystem"), moves true, MANY;
    "azfile" AzfileConfig Root::Bucket("share_name"), moves true, MANY;
    "b2" B2Config Root::Bucket("bucket"), moves false, MANY;
    "cos" CosConfig Root::Bucket("bucket"), moves false, MANY;
    #[cfg(feature = "store-dropbox")] "dropbox" DropboxConfig Root::Folder, moves false, FEW;
    "fs" FsConfig Root::Folder, moves true, FEW;
    #[cfg(feature = "store-ftp")] "ftp" FtpConfig Root::Folder, moves false, FEW;
    "gcs" GcsConfig Root::Bucket("bucket"), moves false, MANY;
    #[cfg(feature = "store-gdrive")] "gdrive" GdriveConfig Root::Folder, moves false, FEW;
    #[cfg(feature = "store-ipmfs")] "ipmfs" IpmfsConfig Root::Folder, moves false, FEW;
    #[cfg(feature = "store-koofr")] "koofr" KoofrConfig Root::Folder, moves false, FEW;
    "obs" ObsConfig Root::Bucket("bucket"), moves false, MANY;
    #[cfg(feature = "store-onedrive")] "onedrive" OnedriveConfig Root::Folder, moves false, FEW;
    "oss" OssConfig Root::Bucket("bucket"), moves false, MANY;
    #[cfg(feature = "store-pcloud")] "pcloud" PcloudConfig Root::Folder, moves false, FEW;
    "s3" S3Config Root::Bucket("bucket"), moves false, MANY;
    #[cfg(feature = "store-seafile")] "seafile" SeafileConfig Root::Folder, moves false, FEW;
    "sftp" SftpConfig Root::Folder, moves true, FEW;
    "swift" SwiftConfig Root::Bucket("container"), moves false, MANY;
    #[cfg(feature = "store-tos")] "tos" TosConfig Root::Bucket("bucket"), moves false, MANY;
    #[cfg(feature = "store-upyun")] "upyun" UpyunConfig Root::Bucket("bucket"), moves false, MANY;
    "webdav" WebdavConfig Root::Folder, moves true, FEW;
    #[cfg(feature = "store-webhdfs")] "webhdfs" WebhdfsConfig Root::Folder, moves false, FEW;
    #[cfg(feature = "store-yandex-disk")] "yandex-disk" YandexDiskConfig Root::Folder, moves false, FEW;
};

/// Services that a Cargo feature adds; it is called `store-` and this.
const OPTIONAL: [&str; 13] = [
    "aliyun-drive",
    "dropbox",
    "ftp",
    "gdrive",
    "ipmfs",
    "koofr",
    "onedrive",
    "pcloud",
    "seafile",
    "tos",
    "upyun",
    "webhdfs",
    "yandex-disk",
];

impl Service {
    /// The service called `scheme`, if this build has it.
    pub(in crate::repo::store) fn find(scheme: &str) -> Option<&'static Self> {
        SERVICES.iter().find(|service| service.scheme == scheme)
    }

    /// The root's kind.
    pub(in crate::repo::store) fn root(&self) -> Root {
        self.root
    }

    /// The names of the options that may be set beside the URL.
    pub(in crate::repo::store) fn options(&self) -> impl Iterator<Item = &'static str> {
        (self.options)().iter().copied().filter(|option| !OF_THE_URL.contains(option))
    }
}

/// The Cargo feature that would add `scheme`, if one would.
pub(in crate::repo::store) fn feature_of(scheme: &str) -> Option<String> {
    OPTIONAL.contains(&scheme).then(|| format!("store-{scheme}"))
}

/// Whether the value of an option of this name must be kept secret: `password`, `secret_access_key`, `sas_token`, … but not `access_key_id` or `credential_path`.
///
/// OpenDAL doesn't tell, so the names do; one in doubt counts as secret.
pub fn is_secret(option: &str) -> bool {
    const PARTS: [&str; 6] = ["password", "secret", "token", "credential", "_key", "delegation"];
    const PUBLIC: [&str; 5] = ["_id", "_path", "_file", "_sha256", "_md5"];
    PARTS.iter().any(|part| option.contains(part)) && !PUBLIC.iter().any(|ending| option.ends_with(ending))
}

/// The names of the fields of `C`, which are a service's options.
///
/// OpenDAL ignores options that it doesn't know, so that a misspelt one would be lost; the names are what serde's derived code asks a deserializer for.
fn fields_of<'de, C: Deserialize<'de>>() -> &'static [&'static str] {
    let mut fields: &[&str] = &[];
    // It always fails: only the question matters.
    let _ = C::deserialize(Fields(&mut fields));
    fields
}

struct Fields<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Fields<'_> {
    type Error = FieldError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, FieldError> {
        Err(serde::de::Error::custom("only structs have fields"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, FieldError> {
        *self.0 = fields;
        Err(serde::de::Error::custom("the fields are known now"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_opendals_own() {
        let options: Vec<_> = Service::find("s3").unwrap().options().collect();
        for option in ["region", "endpoint", "access_key_id", "secret_access_key", "session_token"] {
            assert!(options.contains(&option), "{option}");
        }
        assert!(!options.contains(&"bucket") && !options.contains(&"root"));
    }

    #[test]
    fn every_service_is_registered_with_opendal_and_has_its_root_option() {
        ::opendal::init_default_registry();
        let known = ::opendal::OperatorRegistry::get().schemes();
        for service in SERVICES {
            assert!(known.contains(service.scheme), "{}", service.scheme);
            if let Root::Bucket(option) = service.root {
                assert!((service.options)().contains(&option), "{}", service.scheme);
                assert!(OF_THE_URL.contains(&option), "{}", service.scheme);
            }
        }
    }

    #[test]
    fn a_service_of_opendal_is_compiled_in_or_a_feature() {
        for service in OPTIONAL {
            assert_eq!(feature_of(service), Some(format!("store-{service}")));
        }
        assert_eq!(feature_of("s3"), None);
        assert_eq!(feature_of("redis"), None);
    }

    #[test]
    fn secrets_are_told_by_their_names() {
        let found = SERVICES.iter().flat_map(Service::options).filter(|option| is_secret(option));
        let found: std::collections::BTreeSet<_> = found.collect();
        for option in [
            "secret_access_key",
            "session_token",
            "account_key",
            "client_secret",
            "application_key",
            "aws_sse_customer_key_base64",
        ] {
            assert!(found.contains(option), "{option} is no option any more");
        }
        assert!(is_secret("credential") && is_secret("sas_token") && is_secret("account_key"));
        assert!(!is_secret("access_key_id") && !is_secret("key") && !is_secret("credential_path"));
    }
}
