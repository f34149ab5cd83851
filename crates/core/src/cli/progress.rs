//! The line at the foot of a terminal that says how far the run is. It is drawn on standard error, and only for people: not
//! into a pipe or a file, not on a dumb terminal, not with `-q`.
//!
//! ```text
//! Dumping sales [=======>            ]  38%  1 of 3 segments, 120 of 300 tables, 1.23 GB, 45.0 MB/s, 2m 3s left
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::screen::Screen;
use crate::words::progress::{Figures, ProgressBoard};
use crate::words::units::{bytes_text, duration_text};

/// Between two looks at the figures.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The rate is that of this time.
const RATE_OVER: Duration = Duration::from_secs(15);

/// No time left is told before this much is known.
const RATE_NEEDS: Duration = Duration::from_secs(2);

/// The line, and the thread that draws it.
pub struct Display {
    bar: ProgressBar,
    board: Arc<ProgressBoard>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Display {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Display")
    }
}

/// Whether there is somebody to look at it. `term` is the variable TERM.
pub fn is_wanted(quiet: bool, term: Option<&str>) -> bool {
    !quiet && term.is_some_and(|term| term != "dumb") && io::stderr().is_terminal()
}

impl Display {
    /// Starts to draw what stands on the board, whenever something does.
    pub fn start(board: Arc<ProgressBoard>) -> Display {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(4));
        // Until there is something to show.
        bar.finish_and_clear();
        let over = Arc::new(AtomicBool::new(false));
        let (drawn, shown, stop) = (bar.clone(), Arc::clone(&board), Arc::clone(&over));
        let thread = std::thread::Builder::new()
            .name("progress".into())
            .spawn(move || draw(&shown, &drawn, &stop));
        Display {
            bar,
            board,
            over,
            // Without a thread there is no line; the run is worth more.
            thread: thread.ok(),
        }
    }

    /// Writes to the screen above the line.
    pub fn writer(&self, screen: Screen) -> Box<dyn Write + Send> {
        Box::new(AboveLine {
            bar: self.bar.clone(),
            board: Arc::clone(&self.board),
            out: screen.writer(),
        })
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
        self.bar.finish_and_clear();
    }
}

struct AboveLine {
    bar: ProgressBar,
    board: Arc<ProgressBoard>,
    out: Box<dyn Write + Send>,
}

impl Write for AboveLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The work is over and the thread has not looked yet.
        if !self.bar.is_finished() && self.board.figures().is_none() {
            self.bar.finish_and_clear();
        }
        let out = &mut self.out;
        self.bar.suspend(|| out.write_all(bytes).and_then(|()| out.flush()))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn draw(board: &ProgressBoard, bar: &ProgressBar, over: &AtomicBool) {
    let with_total = ProgressStyle::with_template("{prefix} [{bar:20.=>-}] {percent:>3}%  {msg}");
    let without = ProgressStyle::with_template("{prefix}  {msg}");
    let (Ok(with_total), Ok(without)) = (with_total, without) else {
        return;
    };
    let with_total = with_total.progress_chars("=> ");
    let mut rate = Rate::default();
    while !over.load(Ordering::Relaxed) {
        match board.figures() {
            Some(figures) => {
                if bar.is_finished() {
                    bar.reset();
                    rate = Rate::default();
                }
                rate.note(&figures, Instant::now());
                match figures.bytes_total {
                    Some(total) => {
                        bar.set_style(with_total.clone());
                        bar.set_length(total.max(figures.bytes).max(1));
                        bar.set_position(figures.bytes);
                    }
                    None => bar.set_style(without.clone()),
                }
                bar.set_prefix(figures.subject.clone());
                bar.set_message(message(&figures, rate.bytes_per_second()));
                bar.tick();
            }
            None if !bar.is_finished() => bar.finish_and_clear(),
            None => {}
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// Bytes over the last seconds.
#[derive(Default)]
struct Rate {
    subject: String,
    seen: VecDeque<(Instant, u64)>,
}

impl Rate {
    fn note(&mut self, figures: &Figures, now: Instant) {
        if self.subject != figures.subject {
            self.subject.clone_from(&figures.subject);
            self.seen.clear();
        }
        while self.seen.len() > 1 && self.seen[0].0 + RATE_OVER < now {
            self.seen.pop_front();
        }
        self.seen.push_back((now, figures.bytes));
    }

    fn bytes_per_second(&self) -> Option<f64> {
        let ((from, first), (to, last)) = (self.seen.front()?, self.seen.back()?);
        let time = *to - *from;
        (time >= RATE_NEEDS).then(|| last.saturating_sub(*first) as f64 / time.as_secs_f64())
    }
}

/// What stands behind the bar.
fn message(figures: &Figures, rate: Option<f64>) -> String {
    let mut parts = vec![format!("{} of {} segments", figures.segments_done, figures.segments)];
    if figures.tables > 0 {
        parts.push(format!("{} of {} tables", figures.tables_done, figures.tables));
    }
    parts.push(bytes_text(figures.bytes));
    if let Some(rate) = rate {
        parts.push(format!("{}/s", bytes_text(rate as u64)));
        let left = figures.bytes_total.and_then(|total| total.checked_sub(figures.bytes));
        if let Some(left) = left.filter(|left| *left > 0 && rate >= 1.0) {
            parts.push(format!("{} left", duration_text((left as f64 / rate) as u64)));
        }
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(bytes: u64, total: Option<u64>) -> Figures {
        Figures {
            subject: "Dumping sales".into(),
            segments: 3,
            segments_done: 1,
            tables: 300,
            tables_done: 120,
            rows: 7,
            bytes,
            bytes_total: total,
        }
    }

    #[test]
    fn the_line_says_what_is_known_and_no_more() {
        let start = Instant::now();
        let mut rate = Rate::default();
        rate.note(&figures(0, None), start);
        assert_eq!(rate.bytes_per_second(), None);
        rate.note(&figures(90_000_000, None), start + Duration::from_secs(2));
        let known = rate.bytes_per_second();
        assert_eq!(
            message(&figures(90_000_000, Some(180_000_000)), known),
            "1 of 3 segments, 120 of 300 tables, 90.0 MB, 45.0 MB/s, 2s left"
        );
        // More than was guessed: nobody knows how much is left.
        assert_eq!(
            message(&figures(90_000_000, Some(80_000_000)), known),
            "1 of 3 segments, 120 of 300 tables, 90.0 MB, 45.0 MB/s"
        );
        let without_tables = Figures {
            tables: 0,
            ..figures(5, None)
        };
        assert_eq!(message(&without_tables, None), "1 of 3 segments, 5 B");
        // The next database begins anew.
        let next = Figures {
            subject: "Dumping hr".into(),
            ..figures(1, None)
        };
        rate.note(&next, start + Duration::from_secs(3));
        assert_eq!(rate.bytes_per_second(), None);
    }
}
