//! What is on the screen.

use ratatui::{Terminal, backend::TestBackend};

use super::{
    super::board::{Board, Column},
    draw,
};
use crate::admin::{Activity, Figures, Named};

fn figures(requests: u64, errors: u64, p99_ms: f64) -> Figures {
    let response_bytes = requests * 1024;
    Figures {
        requests,
        errors,
        p50_ms: Some(1.0),
        p99_ms: Some(p99_ms),
        request_bytes: 0,
        response_bytes,
    }
}

fn named(name: &str, figures: Figures) -> Named {
    Named { name: name.to_owned(), figures }
}

fn second() -> Activity {
    Activity {
        seconds: 1.0,
        missed: 0,
        total: figures(3_000, 7, 9.5),
        domains: vec![
            named("example.com", figures(2_000, 0, 3.25)),
            named("api.example.com", figures(1_000, 7, 9.5)),
        ],
        targets: vec![named("one", figures(3_000, 7, 9.5))],
        processes: vec![named("curl", figures(3_000, 7, 9.5))],
    }
}

fn board() -> Board {
    let mut board = Board::default();
    board.take(&second());
    board
}

/// The screen's lines, without what is blank at their ends.
fn screen(board: &Board, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal.draw(|frame| draw(frame, board)).expect("drawn");
    let buffer = terminal.backend().buffer();
    let line =
        |y| (0..width).filter_map(|x| Some(buffer.cell((x, y))?.symbol())).collect::<String>();
    (0..height).map(|y| line(y).trim_end().to_owned()).collect()
}

#[test]
fn everything_fits_into_80_by_24() {
    assert_eq!(
        screen(&board(), 80, 24)[..7],
        [
            "3000 req/s   7 err/s   p50 1.0 ms   p99 9.5 ms   2.9 MiB/s",
            "",
            "domains  targets  processes",
            "name                                  req/s    err/s   p50 ms   p99 ms    MiB/s",
            "example.com                            2000        0      1.0      3.2      2.0",
            "api.example.com                        1000        7      1.0      9.5      1.0",
            "",
        ]
    );
    assert!(screen(&board(), 80, 24)[23].starts_with("q quit"));
}

#[test]
fn it_can_be_sorted_and_turned() {
    let names = |board: &Board| -> Vec<String> {
        let screen = screen(board, 80, 24);
        screen[4..6]
            .iter()
            .map(|line| line.split(' ').next().unwrap_or_default().to_owned())
            .collect()
    };
    let mut board = board();
    board.sort_by(Column::Errors);
    assert_eq!(names(&board), ["api.example.com", "example.com"]);
    board.sort_by(Column::Errors);
    assert_eq!(names(&board), ["example.com", "api.example.com"]);
    board.sort_by(Column::Name);
    assert_eq!(names(&board), ["api.example.com", "example.com"]);
    board.next_kind();
    assert_eq!(names(&board)[0], "one");
    board.next_kind();
    assert_eq!(names(&board)[0], "curl");
    board.previous_kind();
    board.previous_kind();
    assert_eq!(names(&board)[0], "api.example.com");
}

#[test]
fn who_falls_silent_stays_for_a_while() {
    let mut board = board();
    let silent = Activity { domains: Vec::new(), ..second() };
    for _ in 0..9 {
        board.take(&silent);
        assert!(screen(&board, 80, 24).iter().any(|line| line.starts_with("example.com")));
    }
    board.take(&silent);
    assert!(!screen(&board, 80, 24).iter().any(|line| line.starts_with("example.com")));
}

#[test]
fn a_pause_holds_what_is_shown_and_a_scroll_moves_it() {
    let mut board = board();
    board.pause();
    board.take(&Activity { total: figures(1, 0, 1.0), ..second() });
    let shown = screen(&board, 80, 24);
    assert!(shown[0].starts_with("3000 req/s") && shown[1].starts_with("paused"), "{shown:?}");
    board.scroll(1);
    assert!(screen(&board, 80, 24)[4].starts_with("api.example.com"));
    board.scroll(100);
    board.scroll(-1);
    assert!(screen(&board, 80, 24)[4].starts_with("example.com"));
}

#[test]
fn no_size_and_no_name_is_too_much() {
    let mut board = board();
    let evil = named("\x1b[2J\u{7}", figures(9_999, 0, 1.0));
    board.take(&Activity { domains: vec![evil], missed: 3, ..second() });
    for (width, height) in [(1, 1), (10, 3), (40, 10), (200, 50), (500, 200)] {
        let screen = screen(&board, width, height).join("\n");
        assert!(!screen.contains(['\x1b', '\x07']), "{width} x {height}");
    }
    assert!(screen(&board, 200, 50)[1].starts_with("3 exchanges are left out"));
}
