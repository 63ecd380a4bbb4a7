//! A table in Markdown, with columns that are as wide as their widest cell: it is read in a terminal first.

#![allow(dead_code, reason = "each bench uses a part of it")]

use std::fmt;

/// Rows below a head. A row may be short; it is filled up with empty cells.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Without rows yet.
    pub(crate) fn new<S: Into<String>>(head: impl IntoIterator<Item = S>) -> Self {
        Self { rows: vec![head.into_iter().map(Into::into).collect()] }
    }

    /// Adds a row at the end.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        // A bar would end the cell.
        self.rows.push(cells.into_iter().map(|cell| cell.replace('|', "\\|")).collect());
    }

    /// Whether it has no row yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
        let width = |column| self.rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0).max(3);
        for (index, row) in self.rows.iter().enumerate() {
            let cells = (0..columns).map(|column| format!(" {:width$} |", cell(row, column), width = width(column)));
            writeln!(f, "|{}", cells.collect::<String>())?;
            if index == 0 {
                let rule = (0..columns).map(|column| format!(" {} |", "-".repeat(width(column))));
                writeln!(f, "|{}", rule.collect::<String>())?;
            }
        }
        Ok(())
    }
}
