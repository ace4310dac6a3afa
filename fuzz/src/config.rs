//! The configuration file: whatever it says, it's answered with lines that exist, and what is understood can be written out and read again.

use super::memory;
use nightsafe::cli::config::decode::decode;
use nightsafe::cli::config::document::Document;
use nightsafe::cli::config::finding::Report;
use std::path::Path;

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let path = Path::new("/etc/nightsafe.toml");
    let read = |text: &str| {
        let mut report = Report::default();
        let decoded = decode(&Document::new(path, text), text, false, &mut report);
        (decoded, report)
    };
    let (decoded, report) = memory::at_most((1 << 20) + 1_024 * text.len(), || read(text));
    let lines = text.matches('\n').count() + 1;
    for finding in &report.findings {
        assert!(finding.place.as_ref().is_none_or(|place| (1..=lines).contains(&place.line)), "{finding}");
        assert!(!finding.to_string().chars().any(|c| c.is_control() && c != '\n'), "{finding:?}");
    }
    if report.problems().next().is_none() {
        let written = decoded.config.to_toml().expect("what was read can be written");
        let (again, report) = read(&written);
        assert!(report.problems().next().is_none(), "{:?}: {written}", report.findings);
        assert_eq!(again.config, decoded.config, "{written}");
    }
}
