//! What no walk comes across: databases and streams. They are captured before any file is, one after the other, and while that goes on checkpoints may be taken.

use crate::repo::format::Class;
use crate::snapshot::backup::BackupError;
use crate::snapshot::capture::assembler::Assembler;
use crate::snapshot::capture::content::StreamSink;
use crate::snapshot::capture::data::DataSink;
use crate::snapshot::capture::database::DatabaseCapture;
use crate::snapshot::capture::measured::count_made;
use crate::snapshot::capture::pipe::PipeCapture;
use crate::snapshot::capture::secret::SecretSink;
use crate::snapshot::capture::{Capture, Captured, MadeDirectory, Shared};
use crate::snapshot::checkpoint::Checkpoints;
use crate::snapshot::manifest::database::Database;
use crate::snapshot::manifest::{SourceDetail, Statistics};
use crate::snapshot::source::elsewhere::Elsewhere;
use crate::snapshot::source::metadata::Metadata;
use crate::snapshot::source::owners::Owners;
use crate::snapshot::tree::problem::Problem;
use std::collections::VecDeque;
use std::sync::PoisonError;

/// What databases and streams came to.
#[derive(Default, Clone)]
pub(super) struct Made {
    /// A directory for each source.
    pub directories: VecDeque<MadeDirectory>,
    /// The databases that were captured.
    pub databases: Vec<Database>,
    /// What each source came to.
    pub details: Vec<SourceDetail>,
}

impl Made {
    /// Brings the directories into the order of their names.
    pub(super) fn sort(&mut self) {
        self.directories.make_contiguous().sort_by(|a, b| a.entry.name.cmp(&b.entry.name));
    }
}

/// Offers a checkpoint of what is captured, given what it lacks.
pub(super) type OfferCheckpoint<'c> = dyn Fn(&Made, &[Problem]) -> Result<(), BackupError> + 'c;

impl Capture {
    /// Captures what no walk comes across: databases and streams.
    pub(super) fn make(
        &self,
        shared: &Shared<'_>,
        known_total: bool,
        checkpoints: &dyn Checkpoints,
    ) -> Result<Made, BackupError> {
        let &Shared { writer, gear, monitor, .. } = shared;
        let problem = |problem| shared.problem(problem);
        let streams: Vec<Problem> =
            self.streams.iter().map(|source| Problem::not_begun(source.name.as_bytes())).collect();
        let before_streams = |made: &Made, lacks: &[Problem]| {
            self.offer_checkpoint(shared, checkpoints, made, lacks.iter().chain(&streams))
        };
        let databases = DatabaseCapture {
            writer,
            gear,
            monitor,
            problem: &problem,
            checkpoint: &before_streams,
            has_parent: known_total,
        };
        let mut made = databases.run(&self.databases)?;
        let before_files =
            |made: &Made, lacks: &[Problem]| self.offer_checkpoint(shared, checkpoints, made, lacks.iter());
        let pipes = PipeCapture {
            sink: DataSink { writer, gear, lane: &shared.data[0], monitor },
            secret: SecretSink { writer, lane: &shared.secret, monitor },
            problem: &problem,
            checkpoint: &before_files,
            has_parent: known_total,
        };
        pipes.run(&self.streams, &mut made)?;
        Ok(made)
    }

    /// A checkpoint before any file is captured, if it's time: of the databases and streams that are, and without what it lacks.
    fn offer_checkpoint<'l>(
        &self,
        shared: &Shared<'_>,
        checkpoints: &dyn Checkpoints,
        made: &Made,
        lacks: impl Iterator<Item = &'l Problem>,
    ) -> Result<(), BackupError> {
        if !checkpoints.is_due() {
            return Ok(());
        }
        shared.flush()?;
        let sink = StreamSink { lane: shared.writer.lane(Class::Meta), gear: shared.gear };
        let mut assembler = Assembler::new(shared.writer, sink);
        assembler.enter(Metadata::synthetic().entry(b"", None, Vec::new(), &mut Owners::default()));
        let mut directories = made.directories.clone();
        let Some(so_far) = assembler.so_far(directories.make_contiguous())? else { return Ok(()) };
        let mut problems = shared.problems.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let files = self.parts.iter().map(|part| Problem::not_begun(part.name().unwrap_or_default()));
        for problem in lacks.cloned().chain(files) {
            problems.push(problem);
        }
        if problems.count() == 0 {
            return Ok(()); // it's all there is, and the run is about to end
        }
        let mut statistics = Statistics::default();
        count_made(made.directories.iter(), &mut statistics);
        let (databases, sources) = (made.databases.clone(), made.details.clone());
        let top = so_far.top;
        checkpoints.take(Captured {
            top,
            statistics,
            problems: problems.finish(),
            secrets: Vec::new(),
            databases,
            dumps: Vec::new(),
            sources,
            elsewhere: Elsewhere::default(),
            seen: None,
        })?;
        Ok(())
    }
}
