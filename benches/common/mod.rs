//! What every bench shares: cases, rounds, medians, and the one form of result line.
//!
//! ```text
//!  parent                          child, one for each case and round
//!  ──────                          ─────────────────────────────────
//!  for each bench
//!    for each round
//!      for each runtime  ── exec ──▶  set up, warm, measure
//!                        ◀─ stdout ─  "VALUE UNIT" a line
//!    medians ──▶ "bench=… runtime=… value=… unit=…"
//! ```
//!
//! 1. Every figure is taken in a fresh process: no runtime inherits the warm allocator, the worker
//!    threads or the mappings of the one measured before it, and one that dies takes nobody along.
//! 2. Runtimes take turns within a round, so that a noisy minute hits all of them.
//! 3. A case that cannot do its work says so on stderr and prints no line.
//!
//! Arguments that are no options choose: a case runs if its `bench=… runtime=…` contains each of them.
//! With `IORA_BENCH_QUICK=1`, or outside of `cargo bench`, sizes are tiny and there is one round:
//! that shows that the benches work, its figures mean nothing.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench reports on stdout and excuses itself on stderr"
)]

use std::env;
use std::process::{Command, ExitCode, Stdio};

/// Seconds after which a case that does not come to its end is killed.
const PATIENCE: u32 = 30;

/// The argument that makes this binary measure one case instead of leading the rounds.
const CHILD: &str = "--measure";

/// One measured number.
pub(crate) struct Figure {
    /// What it counts: `ns`, `bytes`, `req_s`, ….
    unit: String,
    /// How many of them.
    value: f64,
}

impl Figure {
    /// A figure as it is.
    pub(crate) fn new(unit: impl Into<String>, value: f64) -> Self {
        Self {
            unit: unit.into(),
            value,
        }
    }

    /// A total shared out among `count` operations.
    pub(crate) fn each(unit: impl Into<String>, total: f64, count: usize) -> Self {
        Self::new(unit, total / count as f64)
    }
}

/// What a case yields: its figures, or why it has none.
pub(crate) type Outcome = Result<Vec<Figure>, String>;

/// What the rounds gave for each unit, in the order in which the units came.
type Series = Vec<(String, Vec<f64>)>;

/// One runtime doing one bench's work.
pub(crate) struct Case {
    /// The bench, with its count where it has one.
    bench: String,
    /// Who does the work.
    runtime: &'static str,
    /// Does it once, in a process of its own.
    measure: Box<dyn Fn() -> Outcome>,
}

impl Case {
    /// Names a case; `measure` runs in a process of its own.
    pub(crate) fn new(
        bench: impl Into<String>,
        runtime: &'static str,
        measure: impl Fn() -> Outcome + 'static,
    ) -> Self {
        Self {
            bench: bench.into(),
            runtime,
            measure: Box::new(measure),
        }
    }

    /// Whether each of the words occurs in this case's name.
    fn is_chosen(&self, words: &[String]) -> bool {
        let name = format!("bench={} runtime={}", self.bench, self.runtime);
        words.iter().all(|word| name.contains(word.as_str()))
    }
}

/// Whether sizes should be tiny.
pub(crate) fn quick() -> bool {
    env::var_os("IORA_BENCH_QUICK").is_some_and(|value| value != "0")
        || !env::args().any(|argument| argument == "--bench" || argument == CHILD)
}

/// A size: `full` for figures, `tiny` to show that the bench works.
pub(crate) fn scaled<T>(full: T, tiny: T) -> T {
    if quick() { tiny } else { full }
}

/// The value below which the given share of the values lies; sorts them.
pub(crate) fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values
        .get((last as f64 * share).round() as usize)
        .copied()
        .unwrap_or(f64::NAN)
}

/// Leads the rounds, or measures the one case that the arguments name.
pub(crate) fn run(rounds: usize, cases: &[Case]) -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [CHILD, bench, runtime] = *arguments.iter().map(String::as_str).collect::<Vec<_>>() {
        return measure(cases, bench, runtime);
    }
    let words: Vec<String> = arguments
        .into_iter()
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let chosen: Vec<&Case> = cases.iter().filter(|case| case.is_chosen(&words)).collect();
    for group in chosen.chunk_by(|one, other| one.bench == other.bench) {
        compare(scaled(rounds, 1), group);
    }
    ExitCode::SUCCESS
}

/// Runs one bench's cases in turn, round after round, and prints their medians.
fn compare(rounds: usize, group: &[&Case]) {
    let mut results: Vec<Option<Series>> = group.iter().map(|_| Some(Series::new())).collect();
    for _ in 0..rounds {
        for (case, result) in group.iter().zip(&mut results) {
            let Some(series) = result else { continue };
            match in_child(case) {
                Ok(figures) => collect(series, figures),
                Err(reason) => {
                    eprintln!("bench={} runtime={} skipped: {reason}", case.bench, case.runtime);
                    *result = None;
                }
            }
        }
    }
    for (case, result) in group.iter().zip(results) {
        for (unit, mut values) in result.unwrap_or_default() {
            let value = percentile(&mut values, 0.5);
            println!(
                "bench={} runtime={} value={value:.1} unit={unit}",
                case.bench, case.runtime
            );
        }
    }
}

/// Files a round's figures under their units.
fn collect(series: &mut Series, figures: Vec<Figure>) {
    for Figure { unit, value } in figures {
        match series.iter_mut().find(|(known, _)| *known == unit) {
            Some((_, values)) => values.push(value),
            None => series.push((unit, vec![value])),
        }
    }
}

/// Measures a case in a process of its own.
fn in_child(case: &Case) -> Outcome {
    let output = env::current_exe()
        .and_then(|binary| {
            Command::new(binary)
                .args([CHILD, &case.bench, case.runtime])
                .env("RUST_BACKTRACE", "0")
                .env("IORA_BENCH_QUICK", if quick() { "1" } else { "0" })
                .stderr(Stdio::inherit())
                .output()
        })
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let reason = text.lines().last().filter(|line| !line.is_empty());
        return Err(reason.map_or_else(|| output.status.to_string(), str::to_owned));
    }
    let figure = |line: &str| {
        let (value, unit) = line.split_once(' ')?;
        Some(Figure::new(unit, value.parse().ok()?))
    };
    text.lines()
        .map(|line| figure(line).ok_or_else(|| format!("no figure: {line}")))
        .collect()
}

/// The child's part: measures and prints, or prints why not and fails.
fn measure(cases: &[Case], bench: &str, runtime: &str) -> ExitCode {
    limit_time();
    let case = cases.iter().find(|case| case.bench == bench && case.runtime == runtime);
    match case.map(|case| (case.measure)()) {
        Some(Ok(figures)) => {
            for Figure { unit, value } in figures {
                println!("{value} {unit}");
            }
            ExitCode::SUCCESS
        }
        Some(Err(reason)) => {
            println!("{reason}");
            ExitCode::FAILURE
        }
        None => {
            println!("no such case: {bench} {runtime}");
            ExitCode::FAILURE
        }
    }
}

/// Has the kernel end this process when its time is over, whatever it then does.
#[expect(
    unsafe_code,
    reason = "the only clock that needs no thread of its own is the kernel's"
)]
pub(crate) fn limit_time() {
    // SAFETY: alarm takes any number of seconds and touches no memory; nobody here handles SIGALRM.
    unsafe { libc::alarm(PATIENCE) };
}
