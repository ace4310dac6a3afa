//! One file as a tree that knows on which line everything stands.
//!
//! A [`Section`] notes which keys were asked for. What's left when it is finished is unknown, and refused with the nearest of those that were asked for: so the
//! list of known keys can't differ from what is read.

use super::finding::{Place, Report};
use crate::cli::ui::clean;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A file's path and text.
pub struct Document {
    path: PathBuf,
    folder: PathBuf,
    /// Where each line begins, in bytes.
    lines: Vec<usize>,
}

impl Document {
    /// The file at `path`, which is absolute, with this text.
    pub fn new(path: &Path, text: &str) -> Self {
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { path: path.to_owned(), folder, lines }
    }

    /// The line that byte `at` stands on.
    pub fn place(&self, at: usize) -> Place {
        Place { file: self.path.clone(), line: self.lines.partition_point(|&begin| begin <= at) }
    }

    /// A path that stands in this file: relative ones are relative to the file's folder.
    pub fn resolve(&self, path: &str) -> PathBuf {
        join(&self.folder, path)
    }
}

/// `path` below `folder`, without `.` components.
pub fn join(folder: &Path, path: &str) -> PathBuf {
    folder.join(path).components().collect()
}

/// Parses `text`, the content of `document`; what is wrong goes into `report`. No message repeats the text.
pub fn parse<'t>(document: &Document, text: &'t str, report: &mut Report) -> Option<Spanned<DeTable<'t>>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let place = document.place(error.span().map_or(0, |span| span.start));
        report.problem(Some(place), "", error.message());
    }
    errors.is_empty().then_some(table)
}

/// A value and the key that leads to it.
pub struct Node<'a> {
    /// The file.
    pub document: &'a Document,
    /// All keys from the top, with dots.
    pub key: String,
    span: Range<usize>,
    value: &'a DeValue<'a>,
}

impl<'a> Node<'a> {
    /// The table that is the whole file.
    pub fn top(document: &'a Document, table: &'a DeTable<'a>) -> Section<'a> {
        Section::new(document, String::new(), 0..0, table)
    }

    /// Where it stands.
    pub fn place(&self) -> Place {
        self.document.place(self.span.start)
    }

    /// Notes a problem with it.
    pub fn problem(&self, report: &mut Report, message: impl AsRef<str>) {
        report.problem(Some(self.place()), &self.key, message);
    }

    /// A text, if it is one.
    pub fn as_text(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    /// Whether it's a table.
    pub fn is_table(&self) -> bool {
        self.value.is_table()
    }

    /// The elements, if it is an array.
    pub fn as_items(&self) -> Option<Vec<Node<'a>>> {
        let item = |(at, item): (usize, &'a Spanned<DeValue<'a>>)| Node {
            document: self.document,
            key: format!("{}[{at}]", self.key),
            span: item.span(),
            value: item.get_ref(),
        };
        self.value.as_array().map(|items| items.iter().enumerate().map(item).collect())
    }

    /// A text without control characters that isn't empty.
    pub fn text(&self, report: &mut Report) -> Option<String> {
        let text = self.expect(self.as_text(), "a text", report)?;
        if text.trim().is_empty() {
            self.problem(report, "is empty");
            return None;
        }
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
            self.problem(report, "holds control characters");
            return None;
        }
        Some(text.to_owned())
    }

    /// A path; relative to the file.
    pub fn path(&self, report: &mut Report) -> Option<PathBuf> {
        self.text(report).map(|text| self.document.resolve(&text))
    }

    /// Texts; one alone may stand without brackets.
    pub fn texts(&self, report: &mut Report) -> Vec<String> {
        if self.as_text().is_some() {
            return self.text(report).into_iter().collect();
        }
        self.list(report)
    }

    /// An array of texts.
    pub fn list(&self, report: &mut Report) -> Vec<String> {
        let items = self.expect(self.as_items(), "an array of texts", report).unwrap_or_default();
        items.iter().filter_map(|item| item.text(report)).collect()
    }

    /// `true` or `false`.
    pub fn flag(&self, report: &mut Report) -> Option<bool> {
        self.expect(self.value.as_bool(), "true or false", report)
    }

    /// A whole number between these two.
    pub fn number(&self, least: u64, most: u64, report: &mut Report) -> Option<u64> {
        let number = self.as_number().filter(|number| (least..=most).contains(number));
        self.expect(number, &format!("a whole number from {least} to {most}"), report)
    }

    /// A whole number, if it is one that isn't negative.
    pub fn as_number(&self) -> Option<u64> {
        let number = self.value.as_integer()?;
        u64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
    }

    /// A number or flag as it's written.
    pub fn as_plain(&self) -> Option<String> {
        let number = self.as_number().map(|number| number.to_string());
        number.or_else(|| self.value.as_bool().map(|flag| flag.to_string()))
    }

    /// A table.
    pub fn section(&self, report: &mut Report) -> Option<Section<'a>> {
        let table = self.expect(self.value.as_table(), "a table", report)?;
        Some(Section::new(self.document, self.key.clone(), self.span.clone(), table))
    }

    /// What `parse` makes of the text.
    pub fn parsed<T>(&self, parse: impl FnOnce(&str) -> Result<T, String>, report: &mut Report) -> Option<T> {
        parse(&self.text(report)?).map_err(|message| self.problem(report, message)).ok()
    }

    fn expect<T>(&self, value: Option<T>, what: &str, report: &mut Report) -> Option<T> {
        if value.is_none() {
            self.problem(report, format!("must be {what}"));
        }
        value
    }
}

/// A table that is being read.
pub struct Section<'a> {
    /// The file.
    pub document: &'a Document,
    /// All keys from the top, with dots.
    pub key: String,
    span: Range<usize>,
    members: BTreeMap<&'a str, (Range<usize>, &'a DeValue<'a>)>,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    fn new(document: &'a Document, key: String, span: Range<usize>, table: &'a DeTable<'a>) -> Self {
        let member = |(key, value): (&'a Spanned<_>, &'a Spanned<DeValue<'a>>)| {
            let name: &'a std::borrow::Cow<'a, str> = key.get_ref();
            (name.as_ref(), (key.span(), value.get_ref()))
        };
        let members = table.iter().map(member).collect();
        Self { document, key, span, members, known: Vec::new() }
    }

    /// The key of a member.
    pub fn below(&self, name: &str) -> String {
        if self.key.is_empty() { name.to_owned() } else { format!("{}.{name}", self.key) }
    }

    /// Whether a member is there; it doesn't count as asked for.
    pub fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// The member of this name.
    pub fn get(&mut self, name: &'static str, report: &mut Report) -> Option<Node<'a>> {
        self.known.push(name);
        let (span, value) = self.members.remove(name)?;
        Some(self.node(name, span, value, report))
    }

    /// All members, whatever their names are.
    pub fn all(mut self, report: &mut Report) -> Vec<(String, Node<'a>)> {
        let members = std::mem::take(&mut self.members);
        let node = |(name, (span, value)): (&str, _)| (name.to_owned(), self.node(name, span, value, report));
        members.into_iter().map(node).collect()
    }

    /// Notes a problem with the whole of it.
    pub fn problem(&self, report: &mut Report, message: impl AsRef<str>) {
        report.problem(Some(self.document.place(self.span.start)), &self.key, message);
    }

    /// Refuses what wasn't asked for.
    pub fn finish(self, report: &mut Report) {
        for (name, (span, _)) in &self.members {
            let nearest = nearest(name, &self.known).map(|known| format!("; did you mean `{known}`?"));
            let list = || format!("; known are {}", self.known.join(", "));
            let message = format!("unknown key `{}`{}", shorten(name), nearest.unwrap_or_else(list));
            report.problem(Some(self.document.place(span.start)), &self.key, message);
        }
    }

    fn node(&self, name: &str, span: Range<usize>, value: &'a DeValue<'a>, report: &mut Report) -> Node<'a> {
        let key = self.below(name);
        report.places.insert(key.clone(), self.document.place(span.start));
        Node { document: self.document, key, span, value }
    }
}

/// A name that is short enough for a message, with nothing in it that a terminal obeys.
pub fn shorten(name: &str) -> String {
    const LONGEST: usize = 60;
    let mut short = clean(&name.chars().take(LONGEST).collect::<String>());
    if name.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}

/// The known name that was most likely meant.
pub fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let name = shorten(&name.to_lowercase().replace('-', "_"));
    let distance = |known: &&'k str| (strsim::damerau_levenshtein(&name, known), *known);
    let (distance, best) = known.iter().map(distance).min()?;
    (distance <= best.chars().count().div_ceil(3)).then_some(best)
}
