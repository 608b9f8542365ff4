//! `dispa top`: what goes on now, as a table that lives.

mod board;
mod view;

use std::{
    io::{self, IsTerminal as _},
    path::Path,
    thread,
    time::Duration,
};

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::{sync::mpsc, time::timeout};

use super::{CliError, runtime, write_answer, write_out};
use crate::admin::{self, AskError};
use board::{Board, Column};

/// Keys that wait to be read.
const KEYS: usize = 64;

/// A daemon that says nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// Shows it until the user or the daemon ends. Where standard output is no terminal, or `once`, it
/// tells of one second.
pub(super) fn run(socket: &Path, once: bool, json: bool) -> Result<(), CliError> {
    let lives = io::stdout().is_terminal() && io::stdin().is_terminal() && !once && !json;
    runtime()?.block_on(async {
        let mut following = admin::activity(socket).await?;
        if lives {
            return live(following, socket).await;
        }
        loop {
            let activity = following.activity().await?;
            if !json {
                return write_answer(&Board::still(&activity), json);
            }
            let line = serde_json::to_string(&activity).map_err(io::Error::from);
            let line = line.map_err(CliError::Output)? + "\n";
            if !write_out(line.as_bytes())? || once {
                return Ok(());
            }
        }
    })
}

async fn live(mut following: admin::Following, socket: &Path) -> Result<(), CliError> {
    let mut board = Board::default();
    let mut keys = keys();
    // Puts the terminal back as it was when it is dropped, after a panic too.
    let mut screen = Screen::open()?;
    loop {
        screen.draw(&board)?;
        tokio::select! {
            activity = timeout(PATIENCE, following.activity()) => {
                let silent = |_| AskError::Silent { path: socket.to_owned() };
                board.take(&activity.map_err(silent)??);
            }
            event = keys.recv() => match event {
                Some(Event::Key(key)) if key.kind != KeyEventKind::Release => {
                    let control = key.modifiers.contains(KeyModifiers::CONTROL);
                    if !press(&mut board, key.code, control) {
                        return Ok(());
                    }
                }
                // A new size is seen when it is drawn.
                Some(_) => {}
                None => return Ok(()),
            },
        }
    }
}

/// Whether it goes on.
fn press(board: &mut Board, key: KeyCode, control: bool) -> bool {
    match key {
        KeyCode::Char('c') if control => return false,
        KeyCode::Char('q') | KeyCode::Esc => return false,
        KeyCode::Tab | KeyCode::Right => board.next_kind(),
        KeyCode::BackTab | KeyCode::Left => board.previous_kind(),
        KeyCode::Char('r') => board.sort_by(Column::Requests),
        KeyCode::Char('e') => board.sort_by(Column::Errors),
        KeyCode::Char('l') => board.sort_by(Column::Latency),
        KeyCode::Char('b') => board.sort_by(Column::Bytes),
        KeyCode::Char('n') => board.sort_by(Column::Name),
        KeyCode::Char(' ' | 'p') => board.pause(),
        KeyCode::Down => board.scroll(1),
        KeyCode::Up => board.scroll(-1),
        KeyCode::PageDown => board.scroll(10),
        KeyCode::PageUp => board.scroll(-10),
        _ => {}
    }
    true
}

/// What is typed, read on a thread of its own, which ends with the process.
fn keys() -> mpsc::Receiver<Event> {
    let (sender, receiver) = mpsc::channel(KEYS);
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The terminal, taken over.
struct Screen(ratatui::DefaultTerminal);

impl Screen {
    fn open() -> Result<Self, CliError> {
        ratatui::try_init().map(Self).map_err(CliError::Output)
    }

    fn draw(&mut self, board: &Board) -> Result<(), CliError> {
        self.0.draw(|frame| view::draw(frame, board)).map_err(CliError::Output)?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}
