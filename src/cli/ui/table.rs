//! Tables without borders, for the eye: aligned columns, one line a row, never wrapped.

use crate::cli::ui::style;
use anstyle::Style;
use comfy_table::{CellAlignment, ContentArrangement, Table as Grid, presets};

/// How a column's cells stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// At its left edge: words.
    Left,
    /// At its right edge: numbers.
    Right,
}

/// A table that is being filled.
pub struct Table {
    grid: Grid,
    styles: Vec<Style>,
}

impl Table {
    /// A table with these columns.
    pub fn new(columns: &[(&str, Align)]) -> Self {
        let mut grid = Grid::new();
        grid.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        grid.set_header(columns.iter().map(|(title, _)| *title));
        for (column, (_, align)) in grid.column_iter_mut().zip(columns) {
            column.set_padding((0, 2));
            column.set_cell_alignment(match align {
                Align::Left => CellAlignment::Left,
                Align::Right => CellAlignment::Right,
            });
        }
        Self { grid, styles: vec![style::HEADING] }
    }

    /// Adds a row; its cells hold no line breaks (names are escaped before they come here).
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.styled_row(cells, Style::new());
    }

    /// Adds a row that is shown in `style`.
    pub fn styled_row<const N: usize>(&mut self, cells: [String; N], style: Style) {
        self.grid.add_row(cells.map(|cell| cell.replace(['\n', '\r'], " ")));
        self.styles.push(style);
    }

    /// The lines of the table, each ending in a line feed.
    pub fn render(&self) -> String {
        // Styles are put on after the layout, which would count them as characters.
        self.grid.lines().zip(&self.styles).map(|(line, &shown)| style::paint(shown, line.trim_end()) + "\n").collect()
    }
}
