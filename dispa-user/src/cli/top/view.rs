//! How `dispa top` shows it, from 80 columns and 24 lines on; with less it shows less.

use ratatui::{
    Frame,
    layout::{Constraint, Layout},
    style::{Modifier, Style},
    text::{Line as Text, Span},
    widgets::{Cell, Paragraph, Row, Table},
};

use super::board::{Board, Column, HEADS, Kind, Line};

const KEYS: &str = "q quit  Tab domains/targets/processes  sort: r e l b n  Space pause";

/// Columns of each cell after the name.
const CELL: u16 = 9;

pub(super) fn draw(frame: &mut Frame<'_>, board: &Board) {
    let rows =
        [Constraint::Length(2), Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)];
    let [head, tabs, table, foot] = Layout::vertical(rows).areas(frame.area());
    frame.render_widget(Paragraph::new(summary(board)), head);
    frame.render_widget(Paragraph::new(kinds(board)), tabs);
    frame.render_widget(lines(board), table);
    frame.render_widget(Paragraph::new(Span::styled(KEYS, dim())), foot);
}

fn summary(board: &Board) -> Vec<Text<'static>> {
    let Some(last) = board.last() else {
        return vec![Text::from("dispa top: waiting for the first second")];
    };
    let all = Line::of("", &last.total, last.seconds);
    let [requests, errors, p50, p99, bytes] = all.cells();
    let first =
        format!("{requests} req/s   {errors} err/s   p50 {p50} ms   p99 {p99} ms   {bytes} MiB/s");
    let paused = if board.is_paused() { "paused   " } else { "" };
    let second = match last.missed {
        0 => paused.to_owned(),
        missed => format!("{paused}{missed} exchanges are left out: there are too many"),
    };
    vec![Text::styled(first, bold()), Text::styled(second, dim())]
}

fn kinds(board: &Board) -> Text<'static> {
    let tab = |kind: Kind| {
        let style =
            if kind == board.kind() { bold().add_modifier(Modifier::UNDERLINED) } else { dim() };
        [Span::styled(kind.name(), style), Span::raw("  ")]
    };
    Kind::ALL.into_iter().flat_map(tab).collect()
}

fn lines(board: &Board) -> Table<'static> {
    let sorted = match board.column() {
        Column::Name => 0,
        Column::Requests => 1,
        Column::Errors => 2,
        Column::Latency => 4,
        Column::Bytes => 5,
    };
    let heads = std::iter::once("name".to_owned()).chain(HEADS.map(|head| format!("{head:>8}")));
    let heads = heads
        .enumerate()
        .map(|(place, head)| Cell::from(head).style(if place == sorted { bold() } else { dim() }));
    let row = |line: Line| {
        let cells = line.cells().map(|cell| format!("{cell:>8}"));
        // A name is whatever a client said; a terminal must not obey it.
        let name = line.name.escape_debug().to_string();
        Row::new(std::iter::once(name).chain(cells))
    };
    let widths =
        std::iter::once(Constraint::Min(10)).chain([Constraint::Length(CELL); HEADS.len()]);
    Table::new(board.lines().into_iter().map(row), widths).header(Row::new(heads)).column_spacing(0)
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

#[cfg(test)]
mod tests;
