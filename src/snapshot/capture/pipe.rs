//! Capturing streams that no file holds. One whose program fails, or of which nothing comes, is never an entry of the tree: what went wrong is a problem of the snapshot, and the other sources go on.

use crate::chunker::Buffer;
use crate::chunker::expand::Format;
use crate::snapshot::backup::{BackupError, now};
use crate::snapshot::capture::MadeDirectory;
use crate::snapshot::capture::archive::ArchiveStreamError;
use crate::snapshot::capture::captured::{Before, Captured};
use crate::snapshot::capture::data::{DataSink, Expected, SNIFF};
use crate::snapshot::capture::database::{made_directory, made_file, slot_of, watch};
use crate::snapshot::capture::fault::Fault;
use crate::snapshot::capture::made::{Made, OfferCheckpoint};
use crate::snapshot::capture::measured::Measured;
use crate::snapshot::capture::offering::{Offer, Offering};
use crate::snapshot::capture::secret::SecretSink;
use crate::snapshot::postgres::interrupt::Interrupt;
use crate::snapshot::source::metadata::Metadata;
use crate::snapshot::source::pipe::{PipeFrom, PipeSource};
use crate::snapshot::source::secrets::SecretRules;
use crate::snapshot::tree::entry::EntryType;
use crate::snapshot::tree::path::SafePath;
use crate::snapshot::tree::problem::{Problem, ProblemKind};
use std::io::Read;
use std::sync::mpsc::channel;

/// What captures streams.
pub(super) struct PipeCapture<'c> {
    /// Stores what isn't secret.
    pub sink: DataSink<'c>,
    /// Stores what is.
    pub secret: SecretSink<'c>,
    /// Where problems go.
    pub problem: &'c dyn Fn(Problem),
    /// Offers a checkpoint, given what is captured and what it lacks.
    pub checkpoint: &'c OfferCheckpoint<'c>,
    /// Whether an earlier snapshot had the same sources, as far as known.
    pub has_parent: bool,
}

impl PipeCapture<'_> {
    /// Captures all streams, one after the other, into what was made already.
    pub(super) fn run(&self, sources: &[PipeSource], made: &mut Made) -> Result<(), BackupError> {
        if sources.is_empty() {
            return Ok(());
        }
        let interrupt = Interrupt::default();
        std::thread::scope(|scope| {
            // Closed however the capture ends.
            let (_running, done) = channel::<()>();
            let (monitor, interrupt) = (self.sink.monitor, &interrupt);
            scope.spawn(move || watch(monitor, interrupt, &done));
            for (nth, source) in sources.iter().enumerate() {
                let later = sources[nth + 1..].iter().map(|source| Problem::not_begun(source.name.as_bytes()));
                self.source(source, interrupt, made, later.collect())?;
                made.sort();
            }
            Ok(())
        })
    }

    /// Captures one stream; `later` are the others, which a checkpoint lacks.
    fn source(
        &self,
        source: &PipeSource,
        interrupt: &Interrupt,
        made: &mut Made,
        later: Vec<Problem>,
    ) -> Result<(), BackupError> {
        self.sink.monitor.progress().enter("reading streams");
        let measured = Measured::begin(self.sink.writer);
        let top = SafePath::parse(source.name.as_bytes()).unwrap_or_default();
        let path = top.join(source.file.as_bytes()).unwrap_or_else(|_| top.clone());
        let taken = now();
        let mut files = Vec::new();
        let mut bytes = 0;
        let lacks: Vec<Problem> = [Problem::reached(top)].into_iter().chain(later).collect();
        let offer = || (self.checkpoint)(made, &lacks);
        match self.stream(source, path.clone(), interrupt, &offer) {
            Ok(captured) => {
                bytes = captured.bytes_read();
                files.push((made_file(source.file.as_bytes(), taken), slot_of(captured)));
            }
            Err(Fault::Repository(error)) => return Err(error),
            // Ctrl-C on a terminal ends the programs, too.
            Err(Fault::Source(_)) if self.sink.monitor.interrupted() => return Err(BackupError::Interrupted),
            Err(Fault::Source(message)) => (self.problem)(Problem { path, kind: ProblemKind::Failed, message }),
        }
        made.details.push(measured.end(source.name.clone(), files.len() as u64 + 1, bytes));
        made.directories.push_back(MadeDirectory { entry: made_directory(source.name.as_bytes(), taken), files });
        Ok(())
    }

    /// Stores what comes; meanwhile checkpoints are offered.
    fn stream(
        &self,
        source: &PipeSource,
        path: SafePath,
        interrupt: &Interrupt,
        offer: &Offer<'_>,
    ) -> Result<Captured, Fault> {
        let mut pipe = source.from.open(interrupt)?;
        let metadata = Metadata { kind: EntryType::File, ..Metadata::synthetic() };
        let is_secret = SecretRules::compile(&source.secrets).map_err(|error| Fault::Source(error.to_string()))?;
        let is_secret = is_secret.is_secret(path.as_bytes(), &metadata);
        let before = if self.has_parent { Before::Changed(None) } else { Before::New };
        let mut captured = Captured::of_stream(path, before, is_secret);
        let mut output = Offering::new(pipe.output(), offer);
        let stored = if is_secret {
            self.secret.store(&mut output, &mut |_| {}, &mut captured)
        } else {
            self.store(source, &mut output, &mut captured)
        };
        output.settle(stored)??;
        for line in pipe.finish(interrupt)? {
            self.sink.monitor.warning(&format!("{}: {line}", source.name));
        }
        if captured.size() == 0 && matches!(source.from, PipeFrom::Input(_)) {
            // Whoever was to write it has probably failed, which can't be asked.
            return Err(Fault::Source("nothing came on standard input".to_owned()));
        }
        Ok(captured)
    }

    /// Stores what isn't secret, by what it begins with.
    fn store(
        &self,
        source: &PipeSource,
        output: &mut impl Read,
        captured: &mut Captured,
    ) -> Result<(), ArchiveStreamError> {
        let mut head = Vec::with_capacity(SNIFF);
        output.by_ref().take(SNIFF as u64).read_to_end(&mut head).map_err(ArchiveStreamError::Read)?;
        let format = if source.no_expand { None } else { Format::of(&head) };
        let expected = Expected { length: None, format, preview: None };
        self.sink.store(head, output, expected, captured, &mut Buffer::new())
    }
}
