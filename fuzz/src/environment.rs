//! Files of variables, and the files of variables that compose files name.

use super::input::Input;
use super::memory;
use nightsafe::cli::config::stack::env_files;
use nightsafe::snapshot::source::variables::values::Variables;
use nightsafe::snapshot::source::variables::{MAX_NAME_LEN, MAX_NAMES, variable_names};
use std::collections::HashSet;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    if input.byte() & 1 == 0 { variables(input.rest()) } else { compose(&String::from_utf8_lossy(input.rest())) }
}

fn variables(content: &[u8]) {
    let most = 4_096 + 256 * content.len();
    let names = memory::at_most(most, || variable_names(content));
    let values = memory::at_most(most, || Variables::parse(content));
    assert!(names.len() <= MAX_NAMES);
    for name in &names {
        assert!((1..=MAX_NAME_LEN).contains(&name.len()));
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)), "{name:?}");
        assert!(content.windows(name.len()).any(|window| window == name.as_bytes()), "{name:?} isn't there");
    }
    let found: HashSet<&str> = values.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), found.len());
    assert!(names.iter().all(|name| found.contains(name.as_str())));
    assert!(values.iter().all(|(_, value)| value.len() <= content.len()));
}

fn compose(text: &str) {
    let names = memory::at_most(4_096 + 64 * text.len(), || env_files(text));
    for name in names {
        assert!(!name.is_empty() && !name.contains('\n') && text.contains(&name), "{name:?}");
    }
}
