//! The question before the work, on the screen and not in the log (`gpcrondump.md` 2.5, `gpdbrestore.md` 2.7).

use std::io::{self, BufRead, Write};

use tokio_util::sync::CancellationToken;

use super::screen::Screen;
use crate::words::refusal::Refusal;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Yes,
    No,
}

/// The questions themselves.
pub const CONTINUE_DUMP: &str = "Continue with Greenplum dump Yy|Nn (default=N):";
pub const CONTINUE_RESTORE: &str = "Continue with Greenplum restore Yy|Nn (default=N):";

/// Asks on the terminal, or wherever standard input comes from. Ends with an error when the run is cancelled meanwhile.
pub async fn confirm(question: &'static str, screen: Screen, cancel: &CancellationToken) -> Result<Answer, Refusal> {
    // Not the locked stdout: held while nobody answers, it would stop every log line, that of a signal first.
    let asking = tokio::task::spawn_blocking(move || ask(question, io::stdin().lock(), screen.writer()));
    tokio::select! {
        answer = asking => answer.unwrap_or_else(|_| Err(Refusal::failed("the question could not be asked"))),
        () = cancel.cancelled() => Err(Refusal::known("interrupted while waiting for an answer")),
    }
}

/// Shows a list and asks once for the number of a line of it.
pub async fn choose(list: String, count: usize, screen: Screen, cancel: &CancellationToken) -> Result<usize, Refusal> {
    let asking = tokio::task::spawn_blocking(move || ask_number(&list, count, io::stdin().lock(), screen.writer()));
    tokio::select! {
        answer = asking => answer.unwrap_or_else(|_| Err(Refusal::failed("the question could not be asked"))),
        () = cancel.cancelled() => Err(Refusal::known("interrupted while waiting for an answer")),
    }
}

fn ask_number(list: &str, count: usize, mut input: impl BufRead, mut output: impl Write) -> Result<usize, Refusal> {
    let _ = write!(output, "{list} ").and_then(|()| output.flush());
    let mut line = Vec::new();
    let read = input
        .read_until(b'\n', &mut line)
        .map_err(|e| Refusal::failed(format!("could not read the answer from standard input: {e}")))?;
    if read == 0 {
        return Err(Refusal::failed("EOF when reading a line"));
    }
    let number = String::from_utf8_lossy(&line).trim().parse::<usize>().ok();
    number
        .filter(|number| *number < count)
        .ok_or_else(|| Refusal::known("Invalid or null input"))
}

/// Asks until the answer is yes or no.
pub fn ask(question: &str, mut input: impl BufRead, mut output: impl Write) -> Result<Answer, Refusal> {
    loop {
        // A screen that is closed cannot be asked on, but the answer may still come from a pipe.
        let _ = write!(output, "\n{question}\n> ").and_then(|()| output.flush());
        let mut line = Vec::new();
        let read = input
            .read_until(b'\n', &mut line)
            .map_err(|e| Refusal::failed(format!("could not read the answer from standard input: {e}")))?;
        if read == 0 {
            return Err(Refusal::failed("EOF when reading a line")
                .with_hint("use -a where nobody can answer, as in a cron job."));
        }
        let answer = String::from_utf8_lossy(&line).trim_end().to_lowercase();
        match answer.as_str() {
            "y" | "yes" => return Ok(Answer::Yes),
            "n" | "no" | "" => return Ok(Answer::No),
            other => {
                let _ = writeln!(output, "Invalid input: '{other}'\n");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_the_list_is_taken_and_nothing_else() {
        let asked = |input: &str| ask_number("list", 2, input.as_bytes(), Vec::new()).map_err(|refusal| refusal.text);
        assert_eq!(asked("1\n"), Ok(1));
        for bad in ["\n", "2\n", "-1\n", "x\n"] {
            assert_eq!(asked(bad), Err("Invalid or null input".to_owned()));
        }
        assert_eq!(asked(""), Err("EOF when reading a line".to_owned()));
    }

    fn asked(input: &str) -> (Result<Answer, Refusal>, String) {
        let mut screen = Vec::new();
        let answer = ask(CONTINUE_DUMP, input.as_bytes(), &mut screen);
        (answer, String::from_utf8(screen).unwrap())
    }

    #[test]
    fn yes_no_and_nothing_are_answers() {
        for (input, answer) in [
            ("y\n", Answer::Yes),
            ("YES  \n", Answer::Yes),
            ("n\n", Answer::No),
            ("No\n", Answer::No),
            ("\n", Answer::No),
        ] {
            assert_eq!(
                asked(input),
                (
                    Ok(answer),
                    "\nContinue with Greenplum dump Yy|Nn (default=N):\n> ".to_owned()
                )
            );
        }
    }

    #[test]
    fn anything_else_is_asked_again_and_the_end_of_input_is_an_error() {
        let (answer, screen) = asked("maybe\n");
        assert_eq!(answer.unwrap_err().text, "EOF when reading a line");
        let question = "\nContinue with Greenplum dump Yy|Nn (default=N):\n> ";
        assert_eq!(screen, format!("{question}Invalid input: 'maybe'\n\n{question}"));
    }
}
