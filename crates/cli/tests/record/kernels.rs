//! Kernels that are older than what twinheap would like best.

use std::process::Command;

use crate::lab::{Lab, Summary, costs, run};

const PIDFD_OPEN: u32 = 434;
const CLONE3: u32 = 435;
const FUTEX_WAITV: u32 = 449;

/// Records under `older_kernel.c` a program that starts another one.
#[track_caller]
fn check(missing: &[u32]) {
    let lab = Lab::new();
    let older = lab.build("older_kernel.c", &[]);
    let program = lab.build("processes.c", &[]);
    let missing: Vec<String> = missing.iter().map(u32::to_string).collect();
    let recorder =
        lab.recorder(&["--follow"], &lab.path("a.heaptrace"), &[program.to_str().unwrap(), "spawn"]);
    let mut command = Command::new(older);
    command.arg(missing.join(",")).arg(recorder.get_program()).args(recorder.get_args());
    command.env_remove("LD_PRELOAD").env_remove("NODE_OPTIONS").env("NO_COLOR", "1");
    let ran = run(&mut command);
    assert_eq!(ran.code, Some(0), "{missing:?}: {ran:?}");
    assert!(!ran.stderr.contains("warning: "), "{missing:?}: {}", ran.stderr);
    let summaries: Vec<_> = lab.recordings().iter().map(|name| Summary::of(&lab.path(name))).collect();
    let by = |site| {
        let all = summaries.iter().map(|summary| summary.by(site));
        all.fold(costs(0, 0), |sum, by| costs(sum.allocations + by.allocations, sum.leaked + by.leaked))
    };
    let sites = ["parent_before", "parent_after", "executed"].map(by);
    assert_eq!(sites, [costs(5, 50), costs(4, 80), costs(7, 560)], "{missing:?}");
}

/// As Ubuntu 22.04's: nobody can wait for many at once.
#[test]
fn linux_5_15_is_new_enough() {
    check(&[FUTEX_WAITV]);
}

/// As that of Red Hat 8: nor is there a descriptor of a process.
#[test]
fn linux_4_18_is_new_enough() {
    check(&[FUTEX_WAITV, CLONE3, PIDFD_OPEN]);
}
