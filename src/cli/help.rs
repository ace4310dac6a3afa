//! How help looks: `-h` fits a screen of 80 columns and 24 lines, `--help` says everything.
//!
//! The parser's own layout gives every option of a long help three lines, and every option of a verb two as soon as one of them is long. Here the same
//! definitions ([`crate::cli::args`]) stand in two columns. Usage, errors and completions stay the parser's.

use crate::cli::ui::style;
use clap::{Arg, ArgAction, Command};
use std::fmt::Write as _;

/// A help is no wider than this, however wide the terminal is.
pub const WIDEST: usize = 80;
/// Nor narrower: two columns need it.
const NARROWEST: usize = 40;
/// An option that needs more has its text in the next line.
const LEFT_MOST: usize = 26;
/// Between the columns, and before the first.
const GAP: usize = 2;
/// What the short help says of the options that every verb has.
const EVERY_VERB: &str = "Every verb: -r URL, --password-file FILE, --key-file FILE, --json, -q, -v";
/// Verbs that are used once; the short overview leaves them out.
const RARE: [&str; 2] = ["completions", "man"];
/// Where the explanations of variables begin.
const SECOND_COLUMN: usize = 30;
/// What separates explanations from examples in the text behind the options.
const EXAMPLES: &str = "Examples:\n";

/// The command with the texts of its help, for a terminal of so many columns.
pub fn laid_out(command: Command, columns: Option<usize>) -> Command {
    let width = columns.unwrap_or(WIDEST).clamp(NARROWEST, WIDEST);
    let globals: Vec<Arg> = command.get_arguments().filter(|arg| arg.is_global_set()).cloned().collect();
    let name = command.get_name().to_owned();
    lay_out(command, &name, &globals, width)
}

fn lay_out(command: Command, name: &str, globals: &[Arg], width: usize) -> Command {
    let (short, long) = (Page { width, is_long: false }, Page { width, is_long: true });
    let short = short.of(&command, name, globals);
    let long = long.of(&command, name, globals);
    command
        .term_width(width)
        .help_template("{about}\n\n{usage-heading} {usage}{after-help}")
        .after_help(short)
        .after_long_help(long)
        .mut_subcommands(|verb| {
            let name = format!("{name} {}", verb.get_name());
            lay_out(verb, &name, globals, width)
        })
}

/// One of the two helps.
#[derive(Debug, Clone, Copy)]
struct Page {
    width: usize,
    is_long: bool,
}

impl Page {
    /// All below the usage.
    fn of(self, command: &Command, name: &str, globals: &[Arg]) -> String {
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let (prose, examples) = after.split_once(EXAMPLES).unwrap_or((&after, ""));
        // What only leads to others has theirs.
        let examples = if command.has_subcommands() && examples.is_empty() {
            first_examples(command)
        } else {
            examples.to_owned()
        };
        let mut text = self.verbs(command);
        if self.is_long {
            text.push_str(&self.sections(command, globals));
            text.push_str(&reflowed(prose.trim_end(), self.width));
            if !examples.is_empty() {
                text.push_str(&heading("Examples"));
                text.push_str(&examples);
            }
        } else {
            let own = command.get_arguments().filter(|arg| !arg.is_global_set());
            text.push_str(&self.options(own));
            if command.has_subcommands() {
                push_wrapped(&mut text, &format!("More: {name} VERB -h, {name} --help"), self.width, 2);
            } else {
                push_wrapped(&mut text, EVERY_VERB, self.width, 12);
                push_wrapped(&mut text, &format!("All of it: {name} --help"), self.width, 2);
            }
            if let Some(example) = examples.lines().next() {
                push_wrapped(&mut text, &format!("Example: {}", example.trim()), self.width, 2);
            }
        }
        text
    }

    fn verbs(self, command: &Command) -> String {
        let is_shown = |verb: &&Command| !verb.is_hide_set() && (self.is_long || !RARE.contains(&verb.get_name()));
        let rows: Vec<(String, String)> = command
            .get_subcommands()
            .filter(is_shown)
            .map(|verb| (verb.get_name().to_owned(), verb.get_about().map(ToString::to_string).unwrap_or_default()))
            .collect();
        let title = if self.is_long { heading("Commands") } else { String::new() };
        if rows.is_empty() { String::new() } else { title + &self.columns(&rows) + "\n" }
    }

    /// Arguments, options, those with a heading, those of every verb.
    fn sections(self, command: &Command, globals: &[Arg]) -> String {
        let own: Vec<&Arg> = command.get_arguments().filter(|arg| !arg.is_global_set()).collect();
        let mut text = String::new();
        let mut headings: Vec<&str> = own.iter().filter_map(|arg| arg.get_help_heading()).collect();
        headings.dedup();
        let under = |title: Option<&str>, is_argument: bool| {
            let fits = move |arg: &&Arg| arg.get_help_heading() == title && arg.is_positional() == is_argument;
            self.options(own.iter().copied().filter(fits))
        };
        let mut push = |title: &str, options: String| {
            if !options.is_empty() {
                text.push_str(&heading(title));
                text.push_str(&options);
            }
        };
        push("Arguments", under(None, true));
        push("Options", under(None, false));
        for title in headings {
            push(title, under(Some(title), false));
        }
        let mut rows = self.rows(globals.iter());
        // These are the parser's own.
        rows.push(("-h, --help".to_owned(), "-h prints what fits a screen, --help all of it".to_owned()));
        if command.get_version().is_some() {
            rows.push(("-V, --version".to_owned(), "Print the version".to_owned()));
        }
        push("Options of every verb", self.columns(&rows) + "\n");
        text
    }

    /// What is shown of them: how each is typed, and what it means.
    fn rows<'a>(self, arguments: impl Iterator<Item = &'a Arg>) -> Vec<(String, String)> {
        let is_shown = |arg: &&Arg| !arg.is_hide_set() && (self.is_long || !arg.is_hide_short_help_set());
        arguments.filter(is_shown).map(|arg| (spelling(arg), help(arg))).collect()
    }

    fn options<'a>(self, arguments: impl Iterator<Item = &'a Arg>) -> String {
        let rows = self.rows(arguments);
        if rows.is_empty() { String::new() } else { self.columns(&rows) + "\n" }
    }

    fn columns(self, rows: &[(String, String)]) -> String {
        let widths = rows.iter().map(|(left, _)| left.chars().count());
        let left_most = widths.filter(|&width| width <= LEFT_MOST).max().unwrap_or(0);
        let indent = GAP + left_most + GAP;
        let mut text = String::new();
        for (left, right) in rows {
            if left.chars().count() <= left_most {
                let line = format!("{:GAP$}{left:<left_most$}{:GAP$}{right}", "", "");
                push_wrapped(&mut text, &line, self.width, indent);
            } else {
                writeln!(text, "{:GAP$}{left}", "").expect("writing to a String can't fail");
                push_wrapped(&mut text, &format!("{:indent$}{right}", ""), self.width, indent);
            }
        }
        text
    }
}

/// The first example of each of the first two verbs.
fn first_examples(command: &Command) -> String {
    let of = |verb: &Command| {
        let after = verb.get_after_help()?.to_string();
        after.split_once(EXAMPLES)?.1.lines().next().map(|line| format!("{line}\n"))
    };
    command.get_subcommands().filter_map(of).take(2).collect()
}

/// Paragraphs with lines of this width; indented lines stay lines.
fn reflowed(prose: &str, width: usize) -> String {
    let mut paragraphs: Vec<String> = Vec::new();
    for line in prose.lines() {
        let goes_on = |last: &String| !last.is_empty() && !last.starts_with(' ') && !line.is_empty();
        match paragraphs.last_mut().filter(|last| goes_on(last) && !line.starts_with(' ')) {
            Some(last) => {
                last.push(' ');
                last.push_str(line);
            }
            None => paragraphs.push(line.to_owned()),
        }
    }
    let mut text = String::new();
    for paragraph in &paragraphs {
        let indent = if paragraph.starts_with(' ') { SECOND_COLUMN } else { 0 };
        push_wrapped(&mut text, paragraph, width, indent);
    }
    if text.is_empty() { text } else { text + "\n" }
}

fn heading(title: &str) -> String {
    style::paint(style::HEADING, &format!("{title}:")) + "\n"
}

/// An argument as it is typed: `-t, --target <DIR>`, `--stdin [<NAME>]`, `--read-data[=<SUBSET>]`, `<SNAP>`, `[PATH]...`.
fn spelling(arg: &Arg) -> String {
    let names: Vec<&str> = arg.get_value_names().unwrap_or_default().iter().map(|name| &**name).collect();
    let (value, most) = (names.join(" "), arg.get_num_args().map(|range| range.max_values()));
    let takes_many = matches!(arg.get_action(), ArgAction::Append) && most.is_none_or(|most| most > 0);
    if arg.is_positional() {
        let shown = if arg.is_required_set() { format!("<{value}>") } else { format!("[{value}]") };
        return if takes_many { shown + "..." } else { shown };
    }
    let mut text = match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long}"),
        (Some(short), None) => format!("-{short}"),
        (None, long) => format!("    --{}", long.unwrap_or_default()),
    };
    if arg.get_action().takes_values() {
        let may_lack = arg.get_num_args().is_some_and(|range| range.min_values() == 0);
        let _ = match (may_lack, arg.is_require_equals_set()) {
            (true, true) => write!(text, "[=<{value}>]"),
            (true, false) => write!(text, " [<{value}>]"),
            (false, _) => write!(text, " <{value}>"),
        }; // writing to a String can't fail
    } else if matches!(arg.get_action(), ArgAction::Count) {
        text.push_str("...");
    }
    text
}

/// What an argument means, with the values it may have.
fn help(arg: &Arg) -> String {
    let mut text = arg.get_help().map(ToString::to_string).unwrap_or_default();
    if !arg.get_action().takes_values() {
        return text;
    }
    let defaults = arg.get_default_values().iter().map(|value| value.to_string_lossy());
    let default = defaults.filter(|value| !value.is_empty()).collect::<Vec<_>>().join(" ");
    let possible: Vec<String> = if arg.is_hide_possible_values_set() {
        Vec::new()
    } else {
        arg.get_possible_values().iter().filter(|value| !value.is_hide_set()).map(|v| v.get_name().to_owned()).collect()
    };
    let facts = [(possible.join(", "), ""), (default, "default: ")];
    let facts: Vec<String> =
        facts.iter().filter(|(fact, _)| !fact.is_empty()).map(|(fact, what)| format!("{what}{fact}")).collect();
    if !facts.is_empty() {
        let _ = write!(text, " [{}]", facts.join("; ")); // writing to a String can't fail
    }
    text
}

/// Adds a line, broken between words where it's too long; what follows stands under `indent`.
fn push_wrapped(text: &mut String, line: &str, width: usize, indent: usize) {
    let lead = line.len() - line.trim_start().len();
    let mut column = lead;
    text.push_str(&line[..lead]);
    let mut is_first = true;
    // Several spaces in a row are the gap between the columns and stay.
    for word in line.trim_start().split_inclusive(' ') {
        let length = word.trim_end().chars().count();
        if !is_first && length > 0 && column + length > width {
            while text.ends_with(' ') {
                text.pop();
            }
            let _ = write!(text, "\n{:indent$}", ""); // writing to a String can't fail
            column = indent;
        }
        text.push_str(word);
        column += word.chars().count();
        is_first = false;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Cli;
    use clap::CommandFactory;

    /// What a terminal shows at once, without the line of the prompt.
    const SCREEN: usize = 23;
    /// What `--help` of a verb may have: two screens and a bit.
    const LONG: usize = 50;
    /// These have so many options that they need more, each a line at least.
    const LONGER: [(&str, usize); 4] = [("nightsafe", 70), ("backup", 62), ("forget", 58), ("restore", 68)];

    /// What the program prints for these arguments.
    fn shown(arguments: &[&str], columns: usize) -> String {
        let command = laid_out(Cli::command(), Some(columns));
        let error = command.try_get_matches_from([&["nightsafe"], arguments].concat()).expect_err("help");
        assert!(!error.use_stderr(), "{arguments:?}: {error}");
        error.render().to_string()
    }

    /// The words that lead to each verb and subverb that is shown.
    fn verbs() -> Vec<Vec<String>> {
        fn below(command: &Command, path: &[String], all: &mut Vec<Vec<String>>) {
            for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
                let path = [path, &[verb.get_name().to_owned()]].concat();
                all.push(path.clone());
                below(verb, &path, all);
            }
        }
        let mut all = vec![Vec::new()];
        below(&Cli::command(), &[], &mut all);
        all
    }

    fn of(path: &[String], how: &'static str, columns: usize) -> String {
        let words: Vec<&str> = path.iter().map(String::as_str).chain([how]).collect();
        shown(&words, columns)
    }

    fn assert_width(text: &str, columns: usize, path: &[String]) {
        let wide: Vec<&str> = text.lines().filter(|line| line.chars().count() > columns).collect();
        assert!(wide.is_empty(), "{path:?} is wider than {columns}: {wide:#?}");
    }

    #[test]
    fn the_short_help_of_every_verb_fits_a_screen_and_ends_with_an_example() {
        let mut wrong = Vec::new();
        for path in verbs() {
            let help = of(&path, "-h", WIDEST);
            assert_width(&help, WIDEST, &path);
            let lines = help.lines().count();
            let has_example = help.lines().last().is_some_and(|line| line.starts_with("Example: nightsafe "));
            if lines > SCREEN || !has_example {
                wrong.push(format!("{path:?}: {lines} lines\n{help}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn the_long_help_of_every_verb_is_80_columns_wide_and_shows_two_examples() {
        let mut wrong = Vec::new();
        for path in verbs() {
            let help = of(&path, "--help", WIDEST);
            assert_width(&help, WIDEST, &path);
            let name = path.last().map_or("nightsafe", String::as_str);
            let most = LONGER.iter().find(|(verb, _)| *verb == name).map_or(LONG, |&(_, most)| most);
            let examples = help.split(EXAMPLES).nth(1).unwrap_or_default();
            let count = examples.lines().filter(|line| line.starts_with("  nightsafe ")).count();
            let expected = if path.is_empty() { 3 } else { 2 };
            if help.lines().count() > most || count != expected {
                wrong.push(format!("{path:?}: {} lines, {count} examples\n{help}", help.lines().count()));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// Nothing that can be typed is missing from the long help, except what is hidden on purpose.
    #[test]
    fn the_long_help_leaves_nothing_out() {
        let mut cli = Cli::command();
        cli.build();
        for path in verbs() {
            let verb = path.iter().fold(&cli, |verb, name| verb.find_subcommand(name).expect("a verb"));
            let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            let long = words(&of(&path, "--help", WIDEST));
            for arg in verb.get_arguments().filter(|arg| !arg.is_hide_set()) {
                if ["help", "version"].contains(&arg.get_id().as_str()) {
                    continue;
                }
                let said = words(&arg.get_help().map(ToString::to_string).unwrap_or_default());
                assert!(!said.is_empty() && long.contains(&said), "{path:?}: {said}");
                let name = arg.get_long().map(|long| format!("--{long}")).unwrap_or_default();
                assert!(long.contains(&name), "{path:?}: {name}");
            }
        }
    }

    #[test]
    fn a_narrow_terminal_gets_narrower_lines() {
        for (how, columns) in [("-h", 50), ("--help", 50)] {
            let help = of(&["ls".to_owned()], how, columns);
            let beyond = help.lines().filter(|line| line.chars().count() > columns).count();
            assert_eq!(beyond, 0, "{help}");
        }
    }

    #[test]
    fn both_overviews() {
        insta::assert_snapshot!("overview_short", shown(&["-h"], WIDEST));
        insta::assert_snapshot!("overview_long", shown(&["--help"], WIDEST));
    }

    #[test]
    fn both_helps_of_backup_and_restore() {
        for verb in ["backup", "restore"] {
            insta::assert_snapshot!(format!("{verb}_short"), shown(&[verb, "-h"], WIDEST));
            insta::assert_snapshot!(format!("{verb}_long"), shown(&[verb, "--help"], WIDEST));
        }
        assert_eq!(shown(&["help", "backup"], WIDEST), shown(&["backup", "--help"], WIDEST));
    }
}
