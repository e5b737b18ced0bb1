//! `cargo xtask test`: everything a commit must pass, in the order in which a mistake shows soonest.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    process::{Command, ExitStatus, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};

use crate::{
    root,
    setup::{self, CARGO_DENY, TYPOS, Tool},
    soak, target_dir,
};

/// Runs the steps up to the first that fails. `fast` trusts that `cargo xtask setup` was done before.
pub(crate) fn run(fast: bool) -> Result<()> {
    let start = Instant::now();
    let mut total = Tally::default();
    let outcome = steps(fast, &mut total);
    if outcome.is_err() && total.failed == 0 {
        total.failed = 1;
    }
    println!("\n{}", total.closing_line(start.elapsed().as_secs_f64()));
    outcome
}

fn steps(fast: bool, total: &mut Tally) -> Result<()> {
    if !fast {
        step("setup", total, |_| setup::run())?;
    }
    // The preloaded object is outside the workspace.
    const PRELOAD: &str = "--manifest-path crates/recorder/preload/Cargo.toml";
    step("format", total, |_| {
        cargo("fmt --all -- --check", &[])?;
        cargo(&format!("fmt {PRELOAD} -- --check"), &[])
    })?;
    step("clippy", total, |_| {
        cargo("clippy --workspace --all-targets --locked -- -D warnings", &[])?;
        cargo(&format!("clippy {PRELOAD} --locked -- -D warnings"), &[("CARGO_TARGET_DIR", "target/preload")])
    })?;
    step("tests", total, cargo_test)?;
    step("page", total, page_tests)?;
    step("soak", total, |_| soak::short(None))?;
    step("docs", total, |_| cargo("doc --workspace --no-deps --locked", &[("RUSTDOCFLAGS", "-D warnings")]))?;
    // Not the advisories: their database comes over the network, and changes under a commit that was fine.
    let deny = ["--locked", "--log-level", "error", "check", "licenses", "bans", "sources"];
    step("licences", total, |_| tool(&CARGO_DENY, &deny))?;
    step("spelling", total, |_| tool(&TYPOS, &[]))
}

/// Announces a step, runs it, says how long it took and counts it.
fn step(name: &str, total: &mut Tally, run: impl FnOnce(&mut Tally) -> Result<()>) -> Result<()> {
    println!("\n== {name}");
    let start = Instant::now();
    let outcome = run(total);
    let seconds = start.elapsed().as_secs_f64();
    match outcome {
        Ok(()) => {
            println!("== {name}: ok in {seconds:.1} s");
            total.passed += 1;
            Ok(())
        }
        Err(error) => {
            println!("== {name}: FAILED after {seconds:.1} s");
            Err(error.context(format!("step `{name}` failed")))
        }
    }
}

fn cargo(arguments: &str, environment: &[(&str, &str)]) -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(arguments.split(' ')).envs(environment.iter().copied()).current_dir(root());
    succeed(&mut command)
}

fn tool(tool: &Tool, arguments: &[&str]) -> Result<()> {
    let program =
        tool.find().with_context(|| format!("{} is missing; run `cargo xtask setup`", tool.name))?;
    succeed(Command::new(program).args(arguments).current_dir(root()))
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {:?}", command.get_program()))?;
    judge(command, status)
}

fn judge(command: &Command, status: ExitStatus) -> Result<()> {
    if !status.success() {
        let words: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
        bail!("`{} {}`: {status}", command.get_program().display(), words.join(" "));
    }
    Ok(())
}

/// `cargo test`, with its output passed on and its result lines added up: it prints one a test binary, and
/// nobody should have to add those.
fn cargo_test(total: &mut Tally) -> Result<()> {
    let mut command = Command::new("cargo");
    // All failures at once are worth more than the first one a little sooner.
    command.args(["test", "--workspace", "--locked", "--no-fail-fast"]).current_dir(root());
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let stdout = child.stdout.take().context("cargo's output was not piped")?;
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        println!("{line}");
        total.add(&line);
    }
    judge(&command, child.wait()?)
}

/// The web page: its types and logic, and the page that was just built in a browser, at the numbers of its own tests.
fn page_tests(total: &mut Tally) -> Result<()> {
    let ui = root().join("ui");
    for arguments in
        [&["run", "--silent", "check"][..], &["run", "--silent", "test"], &["run", "--silent", "e2e"]]
    {
        let mut npm = Command::new("npm");
        npm.args(arguments).current_dir(&ui).env("TWINHEAP_BIN", target_dir().join("debug/twinheap"));
        let mut child = npm.stdout(Stdio::piped()).spawn().context("cannot start npm")?;
        let stdout = child.stdout.take().context("npm's output was not piped")?;
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            println!("{line}");
            total.add_npm(&line);
        }
        judge(&npm, child.wait()?)?;
    }
    Ok(())
}

/// Counts of tests, as `cargo test` words them; a step other than the tests counts as one more.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Tally {
    /// Adds a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; …`; skips any other.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let Some((_, counts)) = result.split_once(". ") else { return };
        for count in counts.split("; ") {
            let Some((number, word)) = count.split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match word {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }

    /// Adds a line of Vitest (`Tests  2 failed | 34 passed (36)`) or of Node's test runner (`# pass 19`).
    fn add_npm(&mut self, line: &str) {
        let line = line.trim();
        if let Some((word, number)) = line.strip_prefix("# ").and_then(|rest| rest.split_once(' '))
            && let Ok(number) = number.parse::<u64>()
        {
            match word {
                "pass" => self.passed += number,
                "fail" | "cancelled" => self.failed += number,
                "skipped" | "todo" => self.ignored += number,
                _ => {}
            }
        } else if let Some(counts) = line.strip_prefix("Tests ") {
            for part in counts.split('|') {
                let mut words = part.split_whitespace();
                let Some(number) = words.next().and_then(|number| number.parse::<u64>().ok()) else {
                    continue;
                };
                match words.next() {
                    Some("passed") => self.passed += number,
                    Some("failed") => self.failed += number,
                    Some("skipped" | "todo") => self.ignored += number,
                    _ => {}
                }
            }
        }
    }

    fn closing_line(&self, seconds: f64) -> String {
        let Self { passed, failed, ignored } = self;
        let verdict = if *failed == 0 { "ok" } else { "FAILED" };
        format!(
            "test result: {verdict}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; \
             0 filtered out; finished in {seconds:.2}s"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_add_up_and_other_lines_do_not() {
        let mut total = Tally::default();
        total.add(
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.02s",
        );
        total.add(
            "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s",
        );
        total.add("test tests::result_lines ... ok");
        total.add("test result: odd");
        assert_eq!(total, Tally { passed: 7, failed: 2, ignored: 1 });
        assert_eq!(
            total.closing_line(1.234),
            "test result: FAILED. 7 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.23s"
        );
    }

    #[test]
    fn npms_result_lines_add_up_too() {
        let mut total = Tally::default();
        for line in [
            " Test Files  5 passed (5)",
            "      Tests  2 failed | 34 passed | 1 skipped (37)",
            "# tests 19",
            "# pass 17",
            "# fail 2",
            "# skipped 0",
            "# Subtest: pass 3",
        ] {
            total.add_npm(line);
        }
        assert_eq!(total, Tally { passed: 51, failed: 4, ignored: 1 });
    }

    #[test]
    fn nothing_failed_is_ok() {
        assert!(Tally::default().closing_line(0.0).starts_with("test result: ok. 0 passed"));
    }
}
