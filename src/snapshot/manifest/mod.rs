//! The manifest: the complete record of one run (`docs/format.md`, section 8). Its last write commits a snapshot.

pub mod application;
pub mod database;
pub mod dump;
pub mod exclusion;
pub mod export;
pub mod reasons;

use crate::repo::cbor::{self, Time};
use crate::repo::id::RunId;
use crate::snapshot::manifest::application::Application;
use crate::snapshot::manifest::database::Database;
use crate::snapshot::manifest::dump::DumpFile;
use crate::snapshot::manifest::exclusion::Exclusion;
use crate::snapshot::manifest::reasons::{Reasons, is_zero};
use crate::snapshot::tree::entry::Entry;
use crate::snapshot::tree::path::SafePath;
use crate::snapshot::tree::problem::Problem;
use minicbor::decode::Error as DecodeError;
use minicbor::{Decode, Decoder, Encode};

/// Whether a snapshot holds all that it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum State {
    /// Everything was captured.
    #[n(0)]
    Complete,
    /// Something is missing; see the problems.
    #[n(1)]
    Incomplete,
}

/// Counts of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Statistics {
    /// Regular files.
    #[n(0)]
    pub files: u64,
    /// Directories.
    #[n(1)]
    pub directories: u64,
    /// Links and other entries.
    #[n(2)]
    pub others: u64,
    /// Bytes of all files.
    #[n(3)]
    pub bytes: u64,
    /// Files that the writer hadn't seen before.
    #[n(4)]
    pub files_new: u64,
    /// Files that changed since they were seen last.
    #[n(5)]
    pub files_changed: u64,
    /// Files that are as they were.
    #[n(6)]
    pub files_unmodified: u64,
    /// Bytes read from sources.
    #[n(7)]
    pub bytes_read: u64,
    /// Bytes of new chunks.
    #[n(8)]
    pub raw_added: u64,
    /// Bytes of the packs that were stored.
    #[n(9)]
    pub stored_added: u64,
    /// Packs that were stored.
    #[n(10)]
    pub packs_added: u64,
    /// Chunks that were new.
    #[n(11)]
    pub chunks_added: u64,
    /// Duration in milliseconds.
    #[n(12)]
    pub milliseconds: u64,
    /// Containers that were read and whose compression was undone, wholly or in part.
    #[cbor(n(13), default, skip_if = "is_zero")]
    pub containers: u64,
    /// Their bytes.
    #[cbor(n(14), default, skip_if = "is_zero")]
    pub container_bytes: u64,
    /// Bytes of the streams that were stored instead.
    #[cbor(n(15), default, skip_if = "is_zero")]
    pub container_stream_bytes: u64,
    /// Containers that were read and stored as they are.
    #[cbor(n(16), default, skip_if = "is_zero")]
    pub containers_left: u64,
    /// Why something in containers of both kinds stays compressed.
    #[cbor(n(17), default, skip_if = "Reasons::is_none")]
    pub reasons: Reasons,
}

impl Statistics {
    /// Entries of the tree, without its top.
    pub const fn entries(&self) -> u64 {
        self.files.saturating_add(self.directories).saturating_add(self.others)
    }
}

/// One source, as every writer of the domain may know it.
#[derive(Debug, Clone, PartialEq, Eq, Encode)]
#[cbor(array)]
pub struct Source {
    /// Its name; the first level of the tree in an app's snapshot.
    #[n(0)]
    pub name: String,
    /// Its kind, such as `files`.
    #[n(1)]
    pub kind: String,
    /// Whether it was captured completely.
    #[n(2)]
    pub state: State,
}

impl<'b, C> Decode<'b, C> for Source {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        cbor::array_of(d, 3)?;
        Ok(Self { name: d.decode()?, kind: d.decode()?, state: d.decode()? })
    }
}

/// What a source came to.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SourceDetail {
    /// Its name, as in [`Source`].
    #[n(0)]
    pub name: String,
    /// Entries of all types that it put into the tree.
    #[n(1)]
    pub entries: u64,
    /// Bytes of its files.
    #[n(2)]
    pub bytes: u64,
    /// Bytes of the chunks that were new.
    #[n(3)]
    pub raw_added: u64,
    /// How long it took, in milliseconds.
    #[n(4)]
    pub milliseconds: u64,
}

/// The part of a manifest that writers of the same domain may read.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct OpenPart {
    /// Features without which the manifest must not be used.
    #[n(0)]
    pub needs: Option<Vec<String>>,
    /// When the run began, or the time the user gave.
    #[n(1)]
    pub time: Time,
    /// The zone of the host, an IANA name.
    #[n(2)]
    pub zone: String,
    /// The host.
    #[n(3)]
    pub host: String,
    /// The app, if the snapshot is of one.
    #[n(4)]
    pub app: Option<String>,
    /// Tags given when the snapshot was made.
    #[n(5)]
    pub tags: Vec<String>,
    /// Whether it's complete.
    #[n(6)]
    pub state: State,
    /// The number of this manifest among those of its credential.
    #[n(7)]
    pub sequence: u64,
    /// The hash of the manifest before it by the same credential.
    #[cbor(n(8), with = "minicbor::bytes")]
    pub previous: Option<[u8; 32]>,
    /// The snapshot that this one was compared with.
    #[n(9)]
    pub parent: Option<RunId>,
    /// Runs of the same work that were declared dead.
    #[n(10)]
    pub replaces: Option<Vec<RunId>>,
    /// The program and its version.
    #[n(11)]
    pub tool: String,
    /// Counts.
    #[n(12)]
    pub statistics: Statistics,
    /// What was captured.
    #[n(13)]
    pub sources: Vec<Source>,
    /// The forgotten snapshot that this one brings back.
    #[n(14)]
    pub brings_back: Option<RunId>,
    /// The run that went on after it had done so much. The snapshot is incomplete then.
    #[n(15)]
    pub checkpoint_of: Option<RunId>,
}

impl OpenPart {
    /// Whether the manifest of `run` may say of itself whose checkpoint it is: an incomplete one of another run of the same credential. Of what others stored nobody may say that it's overtaken.
    pub fn has_rightful_checkpoint(&self, run: RunId) -> bool {
        self.checkpoint_of.is_none_or(|of| {
            self.state == State::Incomplete && of != run && of.credential_part() == run.credential_part()
        })
    }
}

/// A file marked secret and the names of the variables it sets.
#[derive(Debug, Clone, PartialEq, Eq, Encode)]
#[cbor(array)]
pub struct SecretFile {
    /// Its path in the snapshot.
    #[n(0)]
    pub path: SafePath,
    /// The names, never the values.
    #[n(1)]
    pub names: Vec<String>,
}

impl<'b, C> Decode<'b, C> for SecretFile {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        cbor::array_of(d, 2)?;
        Ok(Self { path: d.decode()?, names: d.decode()? })
    }
}

/// The part of a manifest that only full credentials open.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct SealedPart {
    /// Features without which the manifest must not be used.
    #[n(0)]
    pub needs: Option<Vec<String>>,
    /// The top of the tree.
    #[n(1)]
    pub root: Entry,
    /// What was asked for.
    #[n(2)]
    pub paths: Vec<minicbor::bytes::ByteVec>,
    /// What couldn't be captured.
    #[n(3)]
    pub problems: Vec<Problem>,
    /// Files marked secret.
    #[n(4)]
    pub secrets: Vec<SecretFile>,
    /// The user who ran it.
    #[n(5)]
    pub user: Option<String>,
    /// Databases that were captured live.
    #[n(6)]
    pub databases: Option<Vec<Database>>,
    /// The application, if the snapshot is of one that the configuration describes.
    #[n(7)]
    pub application: Option<Application>,
    /// What each source came to, in the order of [`OpenPart::sources`].
    #[n(8)]
    pub details: Option<Vec<SourceDetail>>,
    /// What was left out on purpose, for each root below which something was to be.
    #[n(9)]
    pub exclusions: Option<Vec<Exclusion>>,
    /// Dumps of databases among the files, sorted by path.
    #[n(10)]
    pub dumps: Option<Vec<DumpFile>>,
}

/// The complete record of one run: both parts together.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// When the run began, or the time the user gave.
    pub time: Time,
    /// The zone of the host, an IANA name.
    pub zone: String,
    /// The host.
    pub host: String,
    /// The app, if the snapshot is of one.
    pub app: Option<String>,
    /// Tags given when the snapshot was made.
    pub tags: Vec<String>,
    /// Whether it's complete.
    pub state: State,
    /// The number of this manifest among those of its credential.
    pub sequence: u64,
    /// The hash of the manifest before it by the same credential.
    pub previous: Option<[u8; 32]>,
    /// The snapshot that this one was compared with.
    pub parent: Option<RunId>,
    /// Runs that were declared dead and that this one was begun for again.
    pub replaces: Vec<RunId>,
    /// The forgotten snapshot that this one brings back.
    pub brings_back: Option<RunId>,
    /// The run that went on after it had done so much.
    pub checkpoint_of: Option<RunId>,
    /// The program and its version.
    pub tool: String,
    /// Counts.
    pub statistics: Statistics,
    /// What was captured.
    pub sources: Vec<Source>,
    /// The top of the tree.
    pub root: Entry,
    /// What was asked for.
    pub paths: Vec<Vec<u8>>,
    /// What couldn't be captured.
    pub problems: Vec<Problem>,
    /// Files marked secret.
    pub secrets: Vec<SecretFile>,
    /// The user who ran it.
    pub user: Option<String>,
    /// Databases that were captured live.
    pub databases: Vec<Database>,
    /// The application, if the snapshot is of one that the configuration describes.
    pub application: Option<Application>,
    /// What each source came to.
    pub details: Vec<SourceDetail>,
    /// What was left out on purpose.
    pub exclusions: Vec<Exclusion>,
    /// Dumps of databases among the files.
    pub dumps: Vec<DumpFile>,
}

impl Manifest {
    /// Puts the two parts together.
    pub fn join(open: OpenPart, sealed: SealedPart) -> Self {
        Self {
            time: open.time,
            zone: open.zone,
            host: open.host,
            app: open.app,
            tags: open.tags,
            state: open.state,
            sequence: open.sequence,
            previous: open.previous,
            parent: open.parent,
            replaces: open.replaces.unwrap_or_default(),
            brings_back: open.brings_back,
            checkpoint_of: open.checkpoint_of,
            tool: open.tool,
            statistics: open.statistics,
            sources: open.sources,
            root: sealed.root,
            paths: sealed.paths.into_iter().map(Vec::from).collect(),
            problems: sealed.problems,
            secrets: sealed.secrets,
            user: sealed.user,
            databases: sealed.databases.unwrap_or_default(),
            application: sealed.application,
            details: sealed.details.unwrap_or_default(),
            exclusions: sealed.exclusions.unwrap_or_default(),
            dumps: sealed.dumps.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::id::CredentialId;

    #[test]
    fn a_checkpoint_is_incomplete_and_of_another_run_of_the_same_credential() {
        let run = |credential: u8, n: u8| RunId::new(CredentialId::from_bytes([credential; 16]), [n; 16]);
        let open = |state, checkpoint_of| OpenPart {
            needs: None,
            time: Time::default(),
            zone: String::new(),
            host: String::new(),
            app: None,
            tags: Vec::new(),
            state,
            sequence: 0,
            previous: None,
            parent: None,
            replaces: None,
            tool: String::new(),
            statistics: Statistics::default(),
            sources: Vec::new(),
            brings_back: None,
            checkpoint_of,
        };
        let rightful = |state, of| open(state, of).has_rightful_checkpoint(run(1, 1));
        assert!(rightful(State::Complete, None) && rightful(State::Incomplete, Some(run(1, 2))));
        assert!(!rightful(State::Complete, Some(run(1, 2))));
        assert!(!rightful(State::Incomplete, Some(run(1, 1))), "of itself");
        assert!(!rightful(State::Incomplete, Some(run(2, 2))), "of another credential");
    }
}
