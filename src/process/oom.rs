//! Detects that the kernel killed a process because memory ran out. The process itself only shows
//! SIGKILL. But the kernel counts such kills for each memory group, in `memory.events` (cgroup v2)
//! or `memory.oom_control` (v1).
//!
//! Workers live in the group of this process. A kill that was counted while a worker lived explains
//! one death. The count also rises for other processes in the group. A worker that a user kills a
//! day later has not run out of memory.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The kernel's count for the group of this process. `None`: there is none.
static OURS: LazyLock<Option<OomKills>> = LazyLock::new(|| {
    let read = |path| std::fs::read_to_string(path).ok();
    let file = count_file(&read("/proc/self/cgroup")?, &read("/proc/self/mountinfo")?, |path| {
        path.exists()
    })?;
    Some(OomKills { file, told: AtomicU64::new(0) })
});

/// The count of one group, and the number of its kills that have explained a death.
#[derive(Debug)]
struct OomKills {
    file: PathBuf,
    told: AtomicU64,
}

/// Both numbers at the spawn of a worker.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mark {
    counted: u64,
    told: u64,
}

/// Takes the mark of a process that is about to be spawned. Reads one small file.
pub(crate) fn mark() -> Option<Mark> {
    OURS.as_ref()?.mark()
}

/// Returns whether the kernel's killer explains that a process spawned after `mark` was killed.
pub(crate) fn explains(mark: Option<Mark>) -> bool {
    OURS.as_ref().zip(mark).is_some_and(|(kills, mark)| kills.explain(mark))
}

impl OomKills {
    fn mark(&self) -> Option<Mark> {
        Some(Mark { counted: self.count()?, told: self.told.load(Ordering::Relaxed) })
    }

    fn explain(&self, mark: Mark) -> bool {
        let Some(counted) = self.count() else { return false };
        let told = self.told.load(Ordering::Relaxed);
        let explains = counted.saturating_sub(mark.counted) > told.saturating_sub(mark.told);
        if explains {
            self.told.fetch_add(1, Ordering::Relaxed);
        }
        explains
    }

    fn count(&self) -> Option<u64> {
        count(&std::fs::read_to_string(&self.file).ok()?)
    }
}

/// Returns the number in the line that both files have.
fn count(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// Returns the file with the count, by the texts of `/proc/self/cgroup` and `/proc/self/mountinfo`.
fn count_file(groups: &str, mounts: &str, exists: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let unified = groups.lines().find_map(|line| line.strip_prefix("0::"));
    let memory = groups.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, group) = rest.split_once(':')?;
        controllers.split(',').any(|name| name == "memory").then_some(group)
    });
    let v2 = unified
        .and_then(|group| Some(directory(mounts, "cgroup2", None, group)?.join("memory.events")));
    let v1 = memory.and_then(|group| {
        Some(directory(mounts, "cgroup", Some("memory"), group)?.join("memory.oom_control"))
    });
    // On a machine with both versions, the memory controller belongs to one of them, and only that
    // one has the file.
    [v2, v1].into_iter().flatten().find(|file| exists(file))
}

/// Returns the directory of a group in the file system.
fn directory(mounts: &str, kind: &str, controller: Option<&str>, group: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut file_system = file_system.split(' ');
        if file_system.next() != Some(kind) {
            return None;
        }
        if let Some(controller) = controller
            && !file_system.nth(1)?.split(',').any(|option| option == controller)
        {
            return None;
        }
        let mut mount = mount.split(' ').skip(3);
        let (root, place) = (mount.next()?, Path::new(mount.next()?));
        // A container may see its own group mounted as the root, and get its path from the host's
        // root.
        let inside = Path::new(group).strip_prefix(root).unwrap_or(Path::new(""));
        Some(place.join(inside.strip_prefix("/").unwrap_or(inside)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str =
        "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";
    const V1: &str = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                      32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct";

    fn found(groups: &str, mounts: &str) -> Option<String> {
        Some(count_file(groups, mounts, |_| true)?.to_str()?.to_owned())
    }

    #[test]
    fn finds_the_file_of_either_version() {
        let file = found("0::/user.slice/a.scope\n", V2);
        assert_eq!(file.as_deref(), Some("/sys/fs/cgroup/user.slice/a.scope/memory.events"));
        let file = found("5:cpu,cpuacct:/x\n4:memory:/job/7\n1:name=systemd:/\n", V1);
        assert_eq!(file.as_deref(), Some("/sys/fs/cgroup/memory/job/7/memory.oom_control"));
    }

    #[test]
    fn finds_it_where_both_versions_are_mounted_and_v1_has_the_controller() {
        let mounts = format!("41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n{V1}");
        let file = count_file("4:memory:/job\n0::/job\n", &mounts, |path| {
            path.starts_with("/sys/fs/cgroup/memory")
        });
        assert_eq!(
            file.as_deref(),
            Some(Path::new("/sys/fs/cgroup/memory/job/memory.oom_control"))
        );
    }

    // [C9]
    #[test]
    fn finds_it_in_a_container() {
        // In a container with a cgroup namespace of its own, and in one without, where the mount's
        // root is the container's group.
        assert_eq!(found("0::/\n", V2).as_deref(), Some("/sys/fs/cgroup/memory.events"));
        let mounts = "9 8 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory";
        let file = found("4:memory:/docker/abc\n", mounts);
        assert_eq!(file.as_deref(), Some("/sys/fs/cgroup/memory/memory.oom_control"));
        let file = found("4:memory:/docker/abc/deeper\n", mounts);
        assert_eq!(file.as_deref(), Some("/sys/fs/cgroup/memory/deeper/memory.oom_control"));
        // A path outside of the mount: the mount itself is the best guess.
        let file = found("4:memory:/elsewhere\n", mounts);
        assert_eq!(file.as_deref(), Some("/sys/fs/cgroup/memory/memory.oom_control"));
    }

    #[test]
    fn finds_nothing_where_nothing_is() {
        assert_eq!(found("", V2), None);
        assert_eq!(found("0::/\n", ""), None);
        assert_eq!(found("nonsense", "nonsense - cgroup2"), None);
        assert_eq!(count_file("0::/\n", V2, |_| false), None);
    }

    // [C9]
    #[test]
    fn reads_the_count_of_either_version() {
        assert_eq!(count("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 1\n"), Some(2));
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"), Some(7));
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\n"), None);
        assert_eq!(count("oom_kill many\n"), None);
    }

    /// A group whose count the test sets.
    struct Group(OomKills);

    impl Group {
        fn new(name: &str) -> Self {
            let file =
                std::env::temp_dir().join(format!("bulkhead-oom-{}-{name}", std::process::id()));
            let group = Self(OomKills { file, told: AtomicU64::new(0) });
            group.set(5);
            group
        }

        fn set(&self, kills: u64) {
            std::fs::write(&self.0.file, format!("oom 9\noom_kill {kills}\n"))
                .expect("the folder is writable");
        }

        fn mark(&self) -> Mark {
            self.0.mark().expect("the file is there")
        }
    }

    impl Drop for Group {
        fn drop(&mut self) {
            std::fs::remove_file(&self.0.file).expect("the file is there");
        }
    }

    #[test]
    fn a_kill_that_was_counted_while_the_worker_lived_explains_its_death() {
        let group = Group::new("explains");
        let mark = group.mark();
        assert!(!group.0.explain(mark), "nothing was counted");
        group.set(6);
        assert!(!group.0.explain(group.mark()), "it was counted before this one was spawned");
        assert!(group.0.explain(mark));
    }

    // [C9]
    #[test]
    fn one_kill_explains_one_death() {
        let group = Group::new("once");
        let marks = [group.mark(), group.mark(), group.mark()];
        group.set(7);
        assert_eq!(marks.map(|mark| group.0.explain(mark)), [true, true, false]);
        let later = group.mark();
        assert!(!group.0.explain(later));
        group.set(8);
        assert!(group.0.explain(later));
    }

    #[test]
    fn without_the_file_nothing_is_explained() {
        let kills = OomKills { file: "/nonexistent".into(), told: AtomicU64::new(0) };
        assert!(kills.mark().is_none());
        assert!(!kills.explain(Mark::default()));
        assert!(!explains(None));
    }
}
