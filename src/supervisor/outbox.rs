//! Collects in batches what JavaScript is told.
//!
//! JavaScript is woken once and then takes all there is, batch by batch. Small JSON values are
//! joined, so that one `JSON.parse` serves a whole batch.
//!
//! A row may have a time until which it need not wake JavaScript (see [`Row::due`]). It goes with
//! the next row that does, or when that time has come.
//!
//! The rows of one worker keep their order: its results come before its exit, its messages between
//! its results. There is one shared queue, and a queue for each worker. At most a batch or two of
//! one worker's rows stand in the shared queue. The others wait in the worker's own queue, so that
//! a flood from one worker does not delay the rows of others. The supervisor does not read a worker
//! while too many of its rows wait, so that back-pressure reaches it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::pool::ids::Micros;
#[cfg(doc)]
use crate::supervisor::rows::Row;
use crate::supervisor::rows::{BATCH_BYTES, BATCH_ROWS, Batch, Run};

/// Bytes of one worker that may wait for JavaScript. While more do, the worker is not read.
const WORKER_BYTES: usize = 16 << 20;
/// Rows of one worker that may wait: what a worker of tasks of 50 µs replies in three seconds of a
/// blocked main thread.
const WORKER_ROWS: usize = 64 << 10;
/// Bytes that may wait in all. While more do, only workers with less than a batch of their own are
/// read.
const ALL_BYTES: usize = 64 << 20;

/// Batches that are kept to be filled again: one is filled while JavaScript reads the other.
const SPARE: usize = 2;
/// No time.
const NEVER: Micros = Micros::MAX;

#[derive(Debug, Default)]
struct State {
    /// The batches that JavaScript takes next.
    queue: VecDeque<Batch>,
    /// By worker id; first the pool itself.
    sources: Vec<Source>,
    /// Empty batches, with the memory of what they held.
    spare: Vec<Batch>,
    /// In the shared queue and in all workers' queues.
    bytes: usize,
    /// JavaScript waits to be woken.
    armed: bool,
    /// The outbox is closed: nothing will be taken any more.
    closed: bool,
}

/// The rows of one worker that wait.
#[derive(Debug, Default)]
struct Source {
    /// The worker's own queue, behind its rows in the shared queue.
    own_queue: VecDeque<Batch>,
    /// In both queues.
    rows: usize,
    bytes: usize,
    /// In the shared queue.
    queued_rows: usize,
    queued_bytes: usize,
}

impl Source {
    /// Returns whether the worker has its share of the shared queue. Its own queue is used only
    /// then.
    fn has_its_share(&self) -> bool {
        self.queued_rows >= BATCH_ROWS || self.queued_bytes >= BATCH_BYTES
    }

    /// Returns whether the worker is too far ahead of JavaScript. `all`: bytes that wait in all.
    fn is_congested(&self, all: usize) -> bool {
        self.bytes > WORKER_BYTES
            || self.rows > WORKER_ROWS
            || (all > ALL_BYTES && (self.bytes > BATCH_BYTES || self.rows > BATCH_ROWS))
    }
}

/// Keeps the memory of a batch that is not needed any more.
fn keep(spare: &mut Vec<Batch>, batch: Batch) {
    if spare.len() < SPARE {
        spare.extend(batch.emptied());
    }
}

/// Puts a batch behind the others, or into the last of them. It is empty then, or replaced by an
/// `empty` one.
fn push(batches: &mut VecDeque<Batch>, batch: &mut Batch, empty: impl FnOnce() -> Option<Batch>) {
    match batches.back_mut().filter(|last| last.has_room_for(batch)) {
        Some(last) => last.absorb(batch),
        None => batches.push_back(std::mem::replace(batch, empty().unwrap_or_default())),
    }
}

impl State {
    fn source(&mut self, worker_id: u32) -> &mut Source {
        let index = worker_id as usize;
        if self.sources.len() <= index {
            self.sources.resize_with(index + 1, Source::default);
        }
        &mut self.sources[index]
    }

    /// Moves rows from a worker's own queue into the shared one: up to its share, or everything.
    fn advance(&mut self, worker_id: u32, everything: bool) {
        let Some(source) = self.sources.get_mut(worker_id as usize) else { return };
        while everything || !source.has_its_share() {
            let Some(mut batch) = source.own_queue.pop_front() else { return };
            source.queued_rows += batch.rows.len();
            source.queued_bytes += batch.size;
            push(&mut self.queue, &mut batch, || self.spare.pop());
            keep(&mut self.spare, batch);
        }
    }

    /// Takes in that JavaScript has taken these rows. Returns whether some worker can be read
    /// again.
    fn forget(&mut self, run: Run) -> bool {
        let all = self.bytes;
        self.bytes -= run.bytes;
        let left = self.bytes;
        let source = self.source(run.source);
        let was_congested = source.is_congested(all);
        source.rows -= run.rows;
        source.bytes -= run.bytes;
        source.queued_rows -= run.rows;
        source.queued_bytes -= run.bytes;
        let released = was_congested && !source.is_congested(left);
        self.advance(run.source, false);
        released || (all > ALL_BYTES && left <= ALL_BYTES)
    }
}

/// The way to one pool's JavaScript side.
pub struct Outbox {
    state: Mutex<State>,
    backpressure_released: Notify,
    /// JavaScript waited for what has been queued since.
    due: AtomicBool,
    /// The time at which JavaScript must be woken for rows that may wait; [`NEVER`] without any.
    /// Changed under the lock.
    alarm: AtomicU64,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Outbox {
    /// Makes an outbox. `wake` makes JavaScript call [`Self::take`] soon. It may be called from any
    /// thread, and never blocks.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        let state = State { armed: true, ..State::default() };
        Self {
            state: Mutex::new(state),
            backpressure_released: Notify::new(),
            due: AtomicBool::new(false),
            alarm: AtomicU64::new(NEVER),
            wake: Box::new(wake),
        }
    }

    /// Queues the rows of `batch`, all of one worker. The batch is empty afterwards. To be followed
    /// by [`Self::wake`], once the caller holds nothing that JavaScript's thread may want.
    pub fn append(&self, batch: &mut Batch) {
        if batch.rows.is_empty() {
            return;
        }
        debug_assert!(batch.rows.len() <= BATCH_ROWS);
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.closed {
            *batch = Batch::default();
            return;
        }
        let (run, due) = (batch.run(), batch.due);
        state.bytes += run.bytes;
        let source = state.source(run.source);
        source.rows += run.rows;
        source.bytes += run.bytes;
        if source.has_its_share() {
            push(&mut source.own_queue, batch, || None);
            // More rows than are taken at a time wait no longer.
            return self.schedule(state, 0);
        }
        source.queued_rows += run.rows;
        source.queued_bytes += run.bytes;
        push(&mut state.queue, batch, || state.spare.pop());
        self.schedule(state, due);
    }

    /// Has JavaScript woken at `due`, if it waits. 0: by the next [`Self::wake`].
    fn schedule(&self, state: &mut State, due: Micros) {
        if !state.armed {
            return;
        }
        if due == 0 {
            state.armed = false;
            self.due.store(true, Ordering::Relaxed);
        }
        let alarm = if due == 0 { NEVER } else { self.alarm.load(Ordering::Relaxed).min(due) };
        self.alarm.store(alarm, Ordering::Relaxed);
    }

    /// Returns the time of the next [`Self::tick`].
    pub(super) fn next_deadline(&self) -> Option<Micros> {
        Some(self.alarm.load(Ordering::Relaxed)).filter(|&alarm| alarm != NEVER)
    }

    /// Has JavaScript woken, if rows are due at `now`.
    pub(super) fn tick(&self, now: Micros) {
        if self.alarm.load(Ordering::Relaxed) <= now {
            self.schedule(&mut self.lock(), 0);
        }
    }

    /// Wakes JavaScript if it waited when something was queued.
    pub fn wake(&self) {
        if self.take_due() {
            (self.wake)();
        }
    }

    /// Returns whether JavaScript waited when something was queued. The caller then has to make
    /// JavaScript call [`Self::take`].
    pub fn take_due(&self) -> bool {
        // The thread that stored it comes here afterwards, so no wake-up is missed. Only one thread
        // wakes.
        self.due.load(Ordering::Relaxed) && self.due.swap(false, Ordering::Relaxed)
    }

    /// Returns whether JavaScript has taken everything, and waits.
    pub fn is_armed(&self) -> bool {
        self.lock().armed
    }

    /// Moves all rows of this worker into the shared queue, ahead of whatever is appended next.
    pub fn flush(&self, worker_id: u32) {
        self.lock().advance(worker_id, true);
    }

    /// Does the same for all workers.
    pub fn flush_all(&self) {
        let mut state = self.lock();
        for worker_id in 0..u32::try_from(state.sources.len()).unwrap_or(u32::MAX) {
            state.advance(worker_id, true);
        }
    }

    /// Takes the oldest batch.
    pub fn take(&self) -> Option<Batch> {
        let mut state = self.lock();
        let batch = state.queue.pop_front()?;
        let mut released = false;
        if batch.mixed.is_empty() {
            released = state.forget(batch.run());
        }
        for run in &batch.mixed {
            released |= state.forget(*run);
        }
        drop(state);
        if released {
            self.backpressure_released.notify_waiters();
        }
        Some(batch)
    }

    /// Takes back a batch that JavaScript has read, to reuse its memory.
    pub fn give_back(&self, batch: Batch) {
        let mut state = self.lock();
        if !state.closed {
            keep(&mut state.spare, batch);
        }
    }

    /// Returns whether there is more to take. If not, JavaScript will be woken for the next.
    pub fn rearm(&self) -> bool {
        let mut state = self.lock();
        self.alarm.store(NEVER, Ordering::Relaxed);
        state.armed = state.queue.is_empty() && !state.closed;
        !state.queue.is_empty()
    }

    /// Closes the outbox. All rows are dropped, those that wait and those to come.
    pub fn close(&self) {
        let mut state = self.lock();
        *state = State { closed: true, ..State::default() };
        self.due.store(false, Ordering::Relaxed);
        self.alarm.store(NEVER, Ordering::Relaxed);
        drop(state);
        self.backpressure_released.notify_waiters();
    }

    /// Returns once JavaScript has caught up with this worker.
    pub async fn backpressure_released(&self, worker_id: u32) {
        loop {
            // Made before the check, so that no release in between is missed.
            let released = self.backpressure_released.notified();
            if !self.is_congested(worker_id) {
                return;
            }
            released.await;
        }
    }

    /// Returns whether JavaScript is too far behind this worker for more.
    pub fn is_congested(&self, worker_id: u32) -> bool {
        let state = self.lock();
        state.sources.get(worker_id as usize).is_some_and(|source| source.is_congested(state.bytes))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::supervisor::rows::{APART_FROM, KEEP_JSON, Kind, Row, flags};

    fn outbox() -> (Outbox, Arc<AtomicUsize>) {
        let woken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&woken);
        (
            Outbox::new(move || {
                count.fetch_add(1, Ordering::SeqCst);
            }),
            woken,
        )
    }

    fn push(outbox: &Outbox, value: &[u8]) {
        say(outbox, 1, value);
    }

    fn say(outbox: &Outbox, worker_id: u32, value: &[u8]) {
        say_by(outbox, worker_id, value, 0);
    }

    fn say_by(outbox: &Outbox, worker_id: u32, value: &[u8], due: Micros) {
        let mut batch = Batch::default();
        batch.push(Row { due, ..Row::new(Kind::Message, worker_id) }, value, Vec::new());
        outbox.append(&mut batch);
        outbox.wake();
        assert!(batch.rows.is_empty());
    }

    fn tick(outbox: &Outbox, now: Micros) {
        outbox.tick(now);
        outbox.wake();
    }

    // [G26]
    #[test]
    fn what_may_wait_wakes_when_its_time_has_come() {
        let (outbox, woken) = outbox();
        let woken = || woken.load(Ordering::SeqCst);
        say_by(&outbox, 1, b"1", 2_000);
        say_by(&outbox, 2, b"2", 1_000);
        say_by(&outbox, 1, b"3", 3_000);
        assert_eq!(outbox.next_deadline(), Some(1_000));
        tick(&outbox, 999);
        assert_eq!(woken(), 0);
        tick(&outbox, 1_000);
        assert_eq!((woken(), outbox.next_deadline()), (1, None));
        say_by(&outbox, 1, b"4", 1_500);
        tick(&outbox, 9_000);
        assert_eq!((woken(), outbox.next_deadline()), (1, None), "JavaScript looks by itself");
        assert_eq!(outbox.take().map(|batch| batch.json), Some(b"1,2,3,4".to_vec()));
        assert!(!outbox.rearm());
        say_by(&outbox, 1, b"5", 9_500);
        tick(&outbox, 9_500);
        assert_eq!(woken(), 2);
    }

    // [G26]
    #[test]
    fn what_may_wait_goes_with_what_may_not() {
        let (outbox, woken) = outbox();
        say_by(&outbox, 1, b"1", 2_000);
        say(&outbox, 2, b"2");
        assert_eq!((woken.load(Ordering::SeqCst), outbox.next_deadline()), (1, None));
        assert_eq!(outbox.take().map(|batch| batch.json), Some(b"1,2".to_vec()));
        assert!(!outbox.rearm());
        let mut batch = Batch::default();
        for due in [5_000, 0, 6_000] {
            batch.push(Row { due, ..Row::new(Kind::Result, 1) }, b"3", Vec::new());
        }
        outbox.append(&mut batch);
        outbox.wake();
        assert_eq!(woken.load(Ordering::SeqCst), 2, "one row of the three may not wait");
    }

    #[test]
    fn more_than_a_batch_of_what_may_wait_waits_no_longer() {
        let (outbox, woken) = outbox();
        for _ in 0..BATCH_ROWS {
            say_by(&outbox, 1, b"1", 2_000);
        }
        assert_eq!(woken.load(Ordering::SeqCst), 0);
        say_by(&outbox, 1, b"1", 2_000);
        assert_eq!((woken.load(Ordering::SeqCst), outbox.next_deadline()), (1, None));
        assert!(outbox.take().is_some() && outbox.rearm());
        assert!(outbox.take().is_some() && !outbox.rearm());
        say_by(&outbox, 1, b"1", 2_000);
        outbox.close();
        assert_eq!(outbox.next_deadline(), None);
    }

    // [G26]
    #[test]
    fn wakes_once_until_rearmed() {
        let (outbox, woken) = outbox();
        push(&outbox, b"1");
        push(&outbox, b"2");
        assert_eq!(woken.load(Ordering::SeqCst), 1);
        let batch = outbox.take().expect("two rows wait");
        assert_eq!((batch.rows.len(), batch.json.as_slice()), (2, b"1,2".as_slice()));
        push(&outbox, b"3");
        assert_eq!(woken.load(Ordering::SeqCst), 1, "JavaScript looks again before it re-arms");
        assert!(outbox.rearm());
        assert!(outbox.take().is_some());
        assert!(!outbox.rearm());
        push(&outbox, b"4");
        assert_eq!(woken.load(Ordering::SeqCst), 2);
    }

    // [G26]
    #[test]
    fn batches_are_bounded_and_large_values_stay_apart() {
        let (outbox, _) = outbox();
        for _ in 0..BATCH_ROWS {
            push(&outbox, b"null");
        }
        push(&outbox, &[b'7'; APART_FROM + 1]);
        assert_eq!(outbox.take().map(|batch| batch.rows.len()), Some(BATCH_ROWS));
        let batch = outbox.take().expect("the last row");
        assert_eq!((batch.json.as_slice(), batch.strings.len()), (b"0".as_slice(), 1));
        assert_eq!(batch.rows[0][2], f64::from(flags::APART));
    }

    #[test]
    fn a_worker_is_congested_until_taken_and_all_are_silent_once_closed() {
        let (outbox, woken) = outbox();
        push(&outbox, &vec![b'1'; WORKER_BYTES + 1]);
        assert!(outbox.is_congested(1));
        assert!(!outbox.is_congested(2), "the other worker is not");
        assert!(outbox.take().is_some());
        assert!(!outbox.is_congested(1));
        for _ in 0..=WORKER_ROWS {
            push(&outbox, b"1");
        }
        assert!(outbox.is_congested(1), "by number as well");
        outbox.close();
        assert!(!outbox.rearm());
        push(&outbox, b"1");
        assert!(outbox.take().is_none());
        assert!(!outbox.is_congested(1));
        assert_eq!(woken.load(Ordering::SeqCst), 1);
    }

    // [D5]
    #[test]
    fn a_flood_does_not_get_in_front_of_others_and_keeps_its_order() {
        let (outbox, _) = outbox();
        for number in 0..20_000 {
            push(&outbox, number.to_string().as_bytes());
        }
        say(&outbox, 2, b"true");
        let mut batches = Vec::new();
        while let Some(batch) = outbox.take() {
            assert!(batch.rows.len() <= BATCH_ROWS);
            batches.push(batch);
        }
        let of = |batch: &Batch, worker: f64| batch.rows.iter().any(|row| row[3] == worker);
        assert!(
            batches.iter().take(2).any(|batch| of(batch, 2.0)),
            "in the second batch at the latest"
        );
        let all =
            batches.iter().map(|batch| std::str::from_utf8(&batch.json).expect("JSON is text"));
        let numbers: Vec<_> =
            all.flat_map(|json| json.split(',')).filter(|text| *text != "true").collect();
        assert_eq!(numbers, (0..20_000).map(|number| number.to_string()).collect::<Vec<_>>());
        assert!(!outbox.rearm());
    }

    #[test]
    fn what_was_given_back_is_filled_again_unless_it_is_large() {
        let (outbox, _) = outbox();
        push(&outbox, b"1");
        let mut batch = outbox.take().expect("there is something to take");
        let (memory, room) = (batch.json.as_ptr(), batch.json.capacity());
        batch.strings.push(b"read".to_vec());
        outbox.give_back(batch);
        let mut filled = Batch::default();
        filled.push(Row::new(Kind::Message, 1), b"2", Vec::new());
        outbox.append(&mut filled);
        assert!(filled.rows.is_empty() && filled.json.is_empty() && filled.strings.is_empty());
        assert_eq!((filled.json.as_ptr(), filled.json.capacity()), (memory, room));
        outbox.give_back(Batch { json: Vec::with_capacity(KEEP_JSON + 1), ..Batch::default() });
        assert!(outbox.lock().spare.is_empty());
        for _ in 0..10 {
            outbox.give_back(Batch::default());
        }
        assert_eq!(outbox.lock().spare.len(), SPARE);
    }

    #[test]
    fn what_must_come_last_does() {
        let (outbox, _) = outbox();
        for worker in [1, 2, 2] {
            for _ in 0..2 * BATCH_ROWS {
                say(&outbox, worker, b"1");
            }
        }
        outbox.flush_all();
        say(&outbox, 0, b"0");
        let mut last = Vec::new();
        while let Some(batch) = outbox.take() {
            last = batch.json;
        }
        assert!(last.ends_with(b"0"));
    }

    #[test]
    fn many_workers_together_are_held_back_except_those_that_say_little() {
        let (outbox, _) = outbox();
        for worker in 1..=5 {
            say(&outbox, worker, &vec![b'1'; WORKER_BYTES - 4096]);
        }
        say(&outbox, 6, b"1");
        assert!((1..=5).all(|worker| outbox.is_congested(worker)));
        assert!(!outbox.is_congested(6));
        while outbox.take().is_some() {}
        assert!((1..=6).all(|worker| !outbox.is_congested(worker)));
    }
}
