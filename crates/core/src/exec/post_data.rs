//! Runs the definitions behind the data over several sessions, as the plan says what may be made at the same time.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::restore_script::{ScriptContext, ScriptOutcome, run_script};
use crate::db::{Session, error_chain};
use crate::format::ddl_split::excerpt::excerpt;
use crate::format::sql_script::Script;
use crate::plan::restore::lanes::Stage;
use crate::words::refusal::Refusal;

/// Lists of one stage; more are put together, so that cutting the text costs little beside running it.
const MOST_LANES: usize = 256;

/// Runs all stages: what goes one by one in the first session, the rest in all of them. Fails only when a session breaks.
pub async fn run_stages(
    sessions: &[&Session],
    script: &Script<'_>,
    stages: Vec<Stage>,
    context: ScriptContext<'_>,
) -> Result<ScriptOutcome, Refusal> {
    let mut outcome = ScriptOutcome::default();
    for stage in stages {
        let lanes = match stage {
            Stage::OneByOne(entries) => vec![entries],
            Stage::AtOnce(lanes) => gathered(lanes),
        };
        let at_once = sessions.len().min(lanes.len());
        let waiting: Mutex<VecDeque<(usize, Vec<usize>)>> = Mutex::new(lanes.into_iter().enumerate().collect());
        let workers = sessions[..at_once]
            .iter()
            .map(|session| work(session, script, &waiting, context));
        let mut done = Vec::new();
        for result in futures_util::future::join_all(workers).await {
            done.extend(result?);
        }
        // As if they had been run one after the other.
        done.sort_by_key(|(at, _)| *at);
        for (_, part) in done {
            outcome.add(part);
        }
        if context.stops && !outcome.errors.is_empty() {
            break;
        }
    }
    Ok(outcome)
}

fn gathered(lanes: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
    if lanes.len() <= MOST_LANES {
        return lanes;
    }
    let mut bins: Vec<Vec<usize>> = vec![Vec::new(); MOST_LANES];
    for (at, lane) in lanes.into_iter().enumerate() {
        bins[at % MOST_LANES].extend(lane);
    }
    for bin in &mut bins {
        bin.sort_unstable();
    }
    bins
}

/// Takes one list after the other until none is left.
async fn work(
    session: &Session,
    script: &Script<'_>,
    waiting: &Mutex<VecDeque<(usize, Vec<usize>)>>,
    context: ScriptContext<'_>,
) -> Result<Vec<(usize, ScriptOutcome)>, Refusal> {
    let mut done = Vec::new();
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some((at, entries)) = next else {
            return Ok(done);
        };
        let mut kept = vec![false; script.entries().len()];
        for entry in entries {
            kept[entry] = true;
        }
        let text = excerpt(script, &kept, None);
        let part = Script::parse(&text).map_err(|error| Refusal::failed(error_chain(&error)))?;
        let outcome = run_script(session, &part, context).await?;
        if context.stops && !outcome.errors.is_empty() {
            waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        done.push((at, outcome));
    }
}
