//! `miniz_oxide`, which is miniz in Rust: what `flate2`, and so most programs in Rust, compressed with for years.

use super::method::Compressor;
use miniz_oxide::deflate::core::{
    CompressorOxide, TDEFLFlush, TDEFLStatus, compress_to_output, create_comp_flags_from_zip_params,
};

/// `miniz_oxide`: with the default strategy.
pub(super) struct Miniz(Box<CompressorOxide>);

impl Miniz {
    /// At a level, 1 to 9.
    pub(super) fn new(level: u8) -> Self {
        // Without a window there is no header.
        let flags = create_comp_flags_from_zip_params(level.into(), 0, 0);
        Self(Box::new(CompressorOxide::new(flags)))
    }
}

impl Miniz {
    fn give(&mut self, mut bytes: &[u8], flush: TDEFLFlush, out: &mut Vec<u8>) {
        loop {
            let (status, taken) = compress_to_output(&mut self.0, bytes, flush, |given| {
                out.extend_from_slice(given);
                true
            });
            bytes = bytes.get(taken..).unwrap_or_default();
            // It can only fail if it's called wrongly; what is missing then is found by whoever compares.
            if status != TDEFLStatus::Okay || taken == 0 || (bytes.is_empty() && flush != TDEFLFlush::Finish) {
                return;
            }
        }
    }
}

impl Compressor for Miniz {
    fn run(&mut self, bytes: &[u8], last: bool, out: &mut Vec<u8>) {
        self.give(bytes, if last { TDEFLFlush::Finish } else { TDEFLFlush::None }, out);
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        self.give(&[], TDEFLFlush::Sync, out);
    }
}
