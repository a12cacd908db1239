//! Readings of the memory that a process uses, from the kernel.

#[cfg(target_os = "linux")]
use std::sync::LazyLock;

/// Returns the resident set of a process, in bytes. `None`: it cannot be read.
#[cfg(target_os = "linux")]
pub(crate) fn resident_set(pid: i32) -> Option<u64> {
    let statm = of_process(pid, "statm")?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Returns the resident set of a process, in bytes. `None`: it cannot be read.
#[cfg(not(target_os = "linux"))]
pub fn resident_set(_pid: i32) -> Option<u64> {
    None
}

/// Returns the text of a process's file in `/proc`. `None`: there is none, or `/proc` numbers
/// processes differently.
#[cfg(target_os = "linux")]
pub(crate) fn of_process(pid: i32, file: &str) -> Option<String> {
    static NUMBERS_ARE_OURS: LazyLock<bool> = LazyLock::new(|| {
        let status = std::fs::read_to_string("/proc/self/status");
        status.is_ok_and(|status| has_our_numbers(&status, std::process::id()))
    });
    if *NUMBERS_ARE_OURS {
        std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok()
    } else {
        None
    }
}

/// Returns whether `/proc` belongs to the PID namespace of this process, by the text of
/// `/proc/self/status`; `pid` is this process's number in its namespace. A `/proc` from before
/// `unshare --pid` belongs to another namespace, where the same numbers are those of other
/// processes.
#[cfg(target_os = "linux")]
fn has_our_numbers(status: &str, pid: u32) -> bool {
    let numbers = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)).map(str::split_whitespace)
    };
    let are_ours = |mut numbers: std::str::SplitWhitespace<'_>| {
        numbers.next().and_then(|number| number.parse().ok()) == Some(pid)
    };
    // `NSpid` has the number in each namespace down to this process's own. Older kernels have
    // `Tgid` only, the number in the first.
    match numbers("NSpid:") {
        Some(all) => all.clone().count() == 1 && are_ours(all),
        None => numbers("Tgid:").is_some_and(are_ours),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn reads_our_own_and_no_one_elses() {
        let pid = i32::try_from(std::process::id()).expect("process ids are small");
        assert!(resident_set(pid).is_some_and(|rss| rss > 100_000));
        assert_eq!(resident_set(-1), None);
    }

    #[test]
    fn the_numbers_of_another_namespace_are_known() {
        let status = |rest: &str| format!("Name:\tnode\nUmask:\t0022\n{rest}");
        assert!(has_our_numbers(&status("Tgid:\t7\nPid:\t7\nNSpid:\t7\n"), 7));
        assert!(!has_our_numbers(&status("Tgid:\t4711\nPid:\t4711\nNSpid:\t4711\t7\n"), 7));
        assert!(
            !has_our_numbers(&status("Tgid:\t7\nPid:\t7\nNSpid:\t7\t7\n"), 7),
            "as chance will have it"
        );
        assert!(has_our_numbers(&status("Tgid:\t7\nPid:\t7\n"), 7), "before Linux 4.1");
        assert!(!has_our_numbers(&status("Tgid:\t4711\nPid:\t4711\n"), 7));
        assert!(!has_our_numbers("", 7));
    }
}
