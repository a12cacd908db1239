//! Readings of what a process uses, from the kernel.

pub mod oom;

/// The resident set of a process, in bytes; `None` where it cannot be read.
#[cfg(target_os = "linux")]
pub fn resident_set(pid: i32) -> Option<u64> {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// The resident set of a process, in bytes; `None` where it cannot be read.
#[cfg(not(target_os = "linux"))]
pub fn resident_set(_pid: i32) -> Option<u64> {
    None
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
}
