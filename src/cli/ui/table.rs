//! Tables without borders, for the eye: aligned columns, one line a row.
//!
//! On a terminal that is too narrow the columns that may be shortened are; where that isn't enough, each row becomes a list. In a pipe or file nothing is
//! ever shortened.

use crate::cli::ui::style;
use anstyle::Style;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Row, Table as Grid, Width, presets};
use std::iter;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Between columns.
const GAP: u16 = 2;
/// No column is made narrower: of less nobody could guess the rest.
const NARROWEST: u16 = 8;

/// How many columns the terminal has; 0: any number. As colours this is a property of the stream, so it isn't handed through everything that holds a table.
static COLUMNS: AtomicUsize = AtomicUsize::new(0);

/// From now on tables fit into so many columns.
pub fn fit_into(columns: Option<usize>) {
    COLUMNS.store(columns.unwrap_or(0), Ordering::Relaxed);
}

/// How a column's cells stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// At its left edge: words.
    Left,
    /// At its left edge, and shortened where there's no room: names, reasons.
    Shortened,
    /// At its right edge: numbers.
    Right,
}

/// A table that is being filled.
pub struct Table {
    grid: Grid,
    aligns: Vec<Align>,
    styles: Vec<Style>,
}

impl Table {
    /// A table with these columns.
    pub fn new(columns: &[(&str, Align)]) -> Self {
        let mut grid = Grid::new();
        grid.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        grid.set_header(columns.iter().map(|(title, _)| *title));
        for (column, (_, align)) in grid.column_iter_mut().zip(columns) {
            column.set_padding((0, GAP));
            column.set_cell_alignment(match align {
                Align::Left | Align::Shortened => CellAlignment::Left,
                Align::Right => CellAlignment::Right,
            });
        }
        let aligns = columns.iter().map(|&(_, align)| align).collect();
        Self { grid, aligns, styles: vec![style::HEADING] }
    }

    /// Adds a row; its cells hold no line breaks (names are escaped before they come here).
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.styled_row(cells, Style::new());
    }

    /// Adds a row that is shown in `style`.
    pub fn styled_row<const N: usize>(&mut self, cells: [String; N], style: Style) {
        let mut row = Row::from(cells.map(|cell| cell.replace(['\n', '\r'], " ")));
        row.max_height(1);
        self.grid.add_row(row);
        self.styles.push(style);
    }

    /// The lines of the table, each ending in a line feed.
    pub fn render(&self) -> String {
        self.render_within(COLUMNS.load(Ordering::Relaxed))
    }

    fn render_within(&self, columns: usize) -> String {
        let mut widths = self.grid.column_max_content_widths();
        if columns == 0 || total(&widths) <= columns {
            return self.lines(&self.grid);
        }
        while total(&widths) > columns {
            let shortened = widths.iter_mut().zip(&self.aligns).filter(|(_, align)| **align == Align::Shortened);
            match shortened.map(|(width, _)| width).max_by_key(|width| **width) {
                Some(widest) if *widest > NARROWEST => *widest -= 1,
                _ => return self.list(),
            }
        }
        let mut grid = self.grid.clone();
        for (column, width) in grid.column_iter_mut().zip(widths) {
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width + GAP)));
        }
        self.lines(&grid)
    }

    fn lines(&self, grid: &Grid) -> String {
        // Styles are put on after the layout, which would count them as characters.
        grid.lines().zip(&self.styles).map(|(line, &shown)| style::paint(shown, line.trim_end()) + "\n").collect()
    }

    /// Row after row, a line for each cell that holds something.
    fn list(&self) -> String {
        let cells = |row: &Row| row.cell_iter().map(comfy_table::Cell::content).collect::<Vec<_>>();
        let titles = self.grid.header().map(cells).unwrap_or_default();
        let widest = titles.iter().map(|title| title.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        let styles = self.styles.iter().skip(1);
        for ((row, &shown), before) in self.grid.row_iter().zip(styles).zip(iter::once("").chain(iter::repeat("\n"))) {
            text.push_str(before);
            for (title, cell) in titles.iter().zip(cells(row)).filter(|(_, cell)| !cell.is_empty()) {
                text.push_str(&style::paint(style::HEADING, &format!("{title:<widest$}")));
                text.push_str("  ");
                text.push_str(&style::paint(shown, &cell));
                text.push('\n');
            }
        }
        text
    }
}

/// What columns of these widths take, with what is between them.
fn total(widths: &[u16]) -> usize {
    let gaps = usize::from(GAP) * widths.len().saturating_sub(1);
    widths.iter().map(|&width| usize::from(width)).sum::<usize>() + gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        use Align::{Left, Right, Shortened};
        let mut table = Table::new(&[("ID", Left), ("SIZE", Right), ("PATHS", Shortened), ("TAGS", Shortened)]);
        table.row(["954mjja9", "2.0 GiB", "/srv/application/uploads", "nightly"].map(str::to_owned));
        table.row(["ja9954mj", "1.0 KiB", "/日本語/日本語/日本語", ""].map(str::to_owned));
        table
    }

    #[test]
    fn what_fits_is_left_alone() {
        let whole = style::plain(&table().render_within(0));
        insta::assert_snapshot!(whole, @r"
        ID           SIZE  PATHS                     TAGS
        954mjja9  2.0 GiB  /srv/application/uploads  nightly
        ja9954mj  1.0 KiB  /日本語/日本語/日本語
        ");
        assert_eq!(style::plain(&table().render_within(52)), whole);
        assert_ne!(style::plain(&table().render_within(51)), whole);
    }

    #[test]
    fn the_widest_column_is_shortened_and_nothing_else() {
        insta::assert_snapshot!(style::plain(&table().render_within(40)), @r"
        ID           SIZE  PATHS         TAGS
        954mjja9  2.0 GiB  /srv/applic…  nightly
        ja9954mj  1.0 KiB  /日本語/日…
        ");
    }

    #[test]
    fn where_that_is_not_enough_rows_are_lists() {
        insta::assert_snapshot!(style::plain(&table().render_within(30)), @r"
        ID     954mjja9
        SIZE   2.0 GiB
        PATHS  /srv/application/uploads
        TAGS   nightly

        ID     ja9954mj
        SIZE   1.0 KiB
        PATHS  /日本語/日本語/日本語
        ");
    }
}
