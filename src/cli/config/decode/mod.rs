//! From the tree of a file to the model. Everything that's wrong is noted, and decoding goes on behind it.

mod app;
mod secret;
mod source;

use super::document::{Document, Node, Section, parse, shorten};
use super::finding::Report;
use super::model::{Config, Notify, RepositoryConfig};
use crate::repo::store::url::StoreUrl;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;

/// What stands in one file.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Repositories, applications and the rest.
    pub config: Config,
    /// Patterns of further files.
    pub include: Vec<String>,
}

/// Decodes one file; `included` if another one includes it.
pub fn decode(document: &Document, text: &str, included: bool, report: &mut Report) -> Decoded {
    let mut decoded = Decoded::default();
    let Some(table) = parse(document, text, report) else { return decoded };
    let mut top = Node::top(document, table.get_ref());
    if let Some(node) = top.get("include", report) {
        if included {
            node.problem(report, "an included file can't include further ones");
        } else {
            decoded.include = node.texts(report);
        }
    }
    if let Some(node) = top.get("timezone", report) {
        decoded.config.timezone = node.parsed(zone, report);
    }
    if let Some(node) = top.get("notify", report) {
        decoded.config.notify = notify(&node, report);
    }
    if let Some(node) = top.get("repository", report) {
        decoded.config.repositories = named(&node, report, repository);
    }
    if let Some(node) = top.get("app", report) {
        decoded.config.apps = named(&node, report, |name, section, report| Some(app::app(name, section, report)));
    }
    top.finish(report);
    decoded
}

/// What has a name: a table of tables.
fn named<T>(
    node: &Node,
    report: &mut Report,
    decode: impl Fn(String, Section, &mut Report) -> Option<T>,
) -> BTreeMap<String, T> {
    let mut all = BTreeMap::new();
    let members = node.section(report).map(|section| section.all(report)).unwrap_or_default();
    for (name, node) in members {
        if !is_name(&name) {
            node.problem(report, "a name is made of letters, digits, `-` and `_`");
        } else if let Some(section) = node.section(report)
            && let Some(decoded) = decode(name.clone(), section, report)
        {
            all.insert(name, decoded);
        }
    }
    all
}

/// Whether repositories and applications may be called so.
pub fn is_name(text: &str) -> bool {
    const LONGEST: usize = 100;
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !text.is_empty() && text.len() <= LONGEST && !text.starts_with('-') && text.chars().all(fits)
}

fn zone(text: &str) -> Result<String, String> {
    let unknown = |_| format!("unknown time zone `{}`: write it like \"Europe/Berlin\" or \"UTC\"", shorten(text));
    TimeZone::get(text).map(|_| text.to_owned()).map_err(unknown)
}

fn notify(node: &Node, report: &mut Report) -> Notify {
    let Some(mut section) = node.section(report) else { return Notify::default() };
    let ping = section.get("ping", report).and_then(|node| secret::secret(&node, report));
    let on_failure = section.get("on_failure", report).map(|node| node.texts(report)).unwrap_or_default();
    section.finish(report);
    Notify { ping, on_failure }
}

fn repository(name: String, mut section: Section, report: &mut Report) -> Option<RepositoryConfig> {
    let node = section.get("url", report);
    if node.is_none() {
        section.problem(report, "has no `url`");
    }
    let url = node.and_then(|node| node.parsed(|text| url(section.document, text), report));
    let options = section.get("options", report).map(|node| texts_by_name(&node, report)).unwrap_or_default();
    let secret_options = match section.get("secret_options", report).and_then(|node| node.section(report)) {
        Some(inner) => inner
            .all(report)
            .into_iter()
            .filter_map(|(name, node)| Some((name, secret::secret(&node, report)?)))
            .collect(),
        None => BTreeMap::new(),
    };
    let password = section.get("password", report).and_then(|node| secret::secret(&node, report));
    for name in options.keys().filter(|name| secret_options.contains_key(*name)) {
        section.problem(report, format!("the option `{}` is given twice: plain and secret", shorten(name)));
    }
    section.finish(report);
    Some(RepositoryConfig { name, url: url?, options, secret_options, password })
}

/// The URL; the path of a folder becomes absolute.
fn url(document: &Document, text: &str) -> Result<String, String> {
    let parsed = StoreUrl::parse(text).map_err(|error| error.to_string())?;
    match parsed.folder() {
        Some(folder) if folder.is_relative() => Ok(document.resolve(&folder.to_string_lossy()).display().to_string()),
        _ => Ok(text.to_owned()),
    }
}

/// A table of texts; numbers and flags, which options often are, may stand without quotes.
fn texts_by_name(node: &Node, report: &mut Report) -> BTreeMap<String, String> {
    let members = node.section(report).map(|section| section.all(report)).unwrap_or_default();
    let text = |node: &Node, report: &mut Report| node.as_plain().or_else(|| node.text(report));
    members.into_iter().filter_map(|(name, node)| Some((name, text(&node, report)?))).collect()
}
