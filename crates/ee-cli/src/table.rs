//! Lists: as a table, as CSV or as JSON.

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::cli::Global;
use crate::error::CliError;
use crate::output::{print, print_json, print_raw, strip_unsafe_chars};
use crate::style::{Text, supports_color};

/// The format of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns
    Table,
    /// Comma-separated values
    Csv,
    /// One JSON array, as with --json
    Json,
}

/// The identifier of the option `--format`.
pub(crate) const FORMAT: &str = "format";

/// The options of commands that print a list. `--format json` sets `--json`.
#[derive(Debug, Args)]
pub(crate) struct ListOptions {
    /// Print the list in this format; defaults to a table
    #[arg(id = FORMAT, long, value_name = "FORMAT")]
    format: Option<Format>,
}

/// A list with named columns.
#[derive(Debug, Default)]
pub(crate) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    cells: Vec<String>,
    is_current: Option<bool>,
}

impl Table {
    /// Creates a table. Headers are in lower case, as in CSV.
    pub(crate) fn new(header: impl Into<Vec<&'static str>>) -> Self {
        Self {
            header: header.into(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl Into<Vec<String>>) {
        self.add(cells.into(), None);
    }

    /// Adds a row of a list where one row is the current one, marked with `*`.
    pub(crate) fn marked_row(&mut self, is_current: bool, cells: impl Into<Vec<String>>) {
        self.add(cells.into(), Some(is_current));
    }

    fn add(&mut self, cells: Vec<String>, is_current: Option<bool>) {
        let cells = cells.iter().map(|cell| strip_unsafe_chars(cell));
        self.rows.push(Row {
            cells: cells.collect(),
            is_current,
        });
    }

    fn has_marks(&self) -> bool {
        self.rows.iter().any(|row| row.is_current.is_some())
    }

    /// Aligns the columns. Nothing is printed for an empty list.
    fn render_text(&self, with_header: bool, color: bool) -> Text {
        let mut text = Text::default();
        if self.rows.is_empty() {
            return text;
        }
        let header: Vec<_> = self.header.iter().map(|name| name.to_uppercase()).collect();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.cells.get(column));
            let all = cells.chain(header.get(column).filter(|_| with_header));
            all.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..self.header.len()).map(width).collect();
        let line = |cells: &[String]| {
            let cells = cells.iter().zip(&widths);
            let cells: Vec<_> = cells
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            cells.join("  ").trim_end().to_owned()
        };
        let margin = if self.has_marks() { "  " } else { "" };
        if with_header {
            text.add(margin);
            text.paint(color, "1", &line(&header));
            text.add("\n");
        }
        for row in &self.rows {
            let mark = match row.is_current {
                Some(true) => "* ",
                _ => margin,
            };
            text.paint(color && row.is_current == Some(true), "32", mark);
            text.add(&line(&row.cells));
            text.add("\n");
        }
        text
    }

    pub(crate) fn print_csv(&self) -> Result<(), CliError> {
        print_raw(self.render_csv())
    }

    /// Formats the list as CSV (RFC 4180), with lines that end as on Unix.
    fn render_csv(&self) -> String {
        let mut text = String::new();
        let mut line = |cells: Vec<&str>| {
            let cells: Vec<_> = cells.into_iter().map(csv_cell).collect();
            text += &(cells.join(",") + "\n");
        };
        let has_marks = self.has_marks();
        let mut header = self.header.clone();
        if has_marks {
            header.push("current");
        }
        line(header);
        for row in &self.rows {
            let mut cells: Vec<_> = row.cells.iter().map(String::as_str).collect();
            if has_marks {
                cells.push(if row.is_current == Some(true) {
                    "true"
                } else {
                    "false"
                });
            }
            line(cells);
        }
        text
    }
}

fn csv_cell(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

impl ListOptions {
    pub(crate) fn is_csv(&self) -> bool {
        self.format == Some(Format::Csv)
    }

    /// Prints a list in the requested format. The header of a table is omitted with `--quiet`.
    pub(crate) fn print(
        &self,
        global: &Global,
        table: &Table,
        json: impl FnOnce() -> Value,
    ) -> Result<(), CliError> {
        if global.json {
            return print_json(&json());
        }
        if self.is_csv() {
            return table.print_csv();
        }
        let color = supports_color(&std::io::stdout());
        print(table.render_text(!global.quiet, color))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(["project", "name"]);
        table.marked_row(false, ["a".to_owned(), "First, \"best\"".to_owned()]);
        table.marked_row(
            true,
            ["forest-two".to_owned(), "Wälder\u{1b}[2J".to_owned()],
        );
        table
    }

    #[test]
    fn columns_are_aligned_and_the_current_row_is_marked() {
        assert_eq!(
            table().render_text(true, false).into_string(),
            "  PROJECT     NAME\n  a           First, \"best\"\n* forest-two  Wälder[2J\n"
        );
        let mut plain = Table::new(["id", "state"]);
        plain.row(["1".to_owned(), String::new()]);
        assert_eq!(
            plain.render_text(true, false).into_string(),
            "ID  STATE\n1\n"
        );
        assert_eq!(plain.render_text(false, false).into_string(), "1\n");
        assert_eq!(Table::new(["id"]).render_text(true, true).into_string(), "");
    }

    #[test]
    fn csv_quotes_cells_and_has_a_column_for_the_mark() {
        assert_eq!(
            table().render_csv(),
            "project,name,current\na,\"First, \"\"best\"\"\",false\nforest-two,Wälder[2J,true\n"
        );
        assert_eq!(Table::new(["id", "name"]).render_csv(), "id,name\n");
    }
}
