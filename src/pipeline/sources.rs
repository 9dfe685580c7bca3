//! Owns which input a thread reads next: one large file is shared, many packed ones are spread, and one whose items must
//! be read in their order is one thread's alone. Leaves to `read` how an input is read, to `reader` what its lines are.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::error::Result;
use crate::read::lines::Block;
use crate::read::stream::Stream;
use crate::read::{Inputs, Progress};
use crate::types::origin::InputId;

/// Inputs that wait, and those being read: a thread takes the next block of a stream that no other thread is reading,
/// else opens the next input, else waits. So threads share one large file and spread over many packed ones. An input
/// whose items must be read in their order is one thread's alone.
pub(super) struct Sources<'s> {
    state: Mutex<State>,
    /// Told whenever an input was opened, or couldn't be.
    opened: Condvar,
    ended: Mutex<Vec<(InputId, Stream)>>,
    inputs: &'s Inputs,
    progress: &'s Arc<Progress>,
    /// An input can't be read: nobody need go on.
    failed: AtomicBool,
}

struct State {
    waiting: std::vec::IntoIter<InputId>,
    /// Inputs that threads are opening: they will be open, so nobody else leaves until then.
    opening: usize,
    open: Vec<Source>,
}

/// None when it has ended.
type Source = Arc<Mutex<Option<Stream>>>;

/// What a thread is given to do.
pub(super) enum Next {
    Block,
    InOrder(Box<Stream>),
    Nothing,
}

impl<'s> Sources<'s> {
    pub(super) fn new(inputs: &'s Inputs, progress: &'s Arc<Progress>) -> Sources<'s> {
        let unique = (0..inputs.list.len() as u32)
            .map(InputId)
            .filter(|id| inputs.list[id.0 as usize].same_as.is_none());
        Sources {
            state: Mutex::new(State {
                waiting: unique.collect::<Vec<_>>().into_iter(),
                opening: 0,
                open: Vec::new(),
            }),
            opened: Condvar::new(),
            ended: Mutex::default(),
            inputs,
            progress,
            failed: AtomicBool::new(false),
        }
    }

    /// The inputs that were read, in the order in which they ended.
    pub(super) fn into_ended(self) -> Vec<(InputId, Stream)> {
        self.ended.into_inner().expect("no thread panicked")
    }

    /// Fills `block` with lines that nobody has yet, or gives an input that one thread reads.
    pub(super) fn next(&self, block: &mut Block) -> Result<Next> {
        let next = self.find_next(block);
        if next.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        next
    }

    fn find_next(&self, block: &mut Block) -> Result<Next> {
        while !self.failed.load(Ordering::Relaxed) {
            let mut open = self.state().open.clone();
            if !open.is_empty() {
                // Each thread stays with one of its own as long as there are as many: what is known of it is near.
                let first = rayon::current_thread_index().unwrap_or(0) % open.len();
                open.rotate_left(first);
            }
            for source in &open {
                if let Ok(mut stream) = source.try_lock()
                    && self.advance(source, &mut stream, block)?
                {
                    return Ok(Next::Block);
                }
            }
            let mut state = self.state();
            if let Some(id) = state.waiting.next() {
                state.opening += 1;
                drop(state);
                if let Some(stream) = self.open(id)? {
                    return Ok(Next::InOrder(Box::new(stream)));
                }
            } else if let Some(source) = state.open.first().cloned() {
                drop(state);
                let mut stream = source.lock().expect("no thread panicked");
                if self.advance(&source, &mut stream, block)? {
                    return Ok(Next::Block);
                }
            } else if state.opening > 0 {
                drop(self.opened.wait(state).expect("no thread panicked"));
            } else {
                return Ok(Next::Nothing);
            }
        }
        Ok(Next::Nothing)
    }

    /// Opens an input for all threads, or gives one that must be read in its order.
    fn open(&self, id: InputId) -> Result<Option<Stream>> {
        let input = &self.inputs.list[id.0 as usize];
        let (threads, progress) = (rayon::current_num_threads(), self.progress.clone());
        let streams = Stream::open(id, input, self.inputs.settings_of(id), threads, progress);
        self.failed.fetch_or(streams.is_err(), Ordering::Relaxed);
        let mut state = self.state();
        state.opening -= 1;
        self.opened.notify_all();
        let mut streams = streams?;
        let in_order = streams.pop_if(|stream| stream.is_in_order());
        state.open.extend(streams.into_iter().map(|stream| Arc::new(Mutex::new(Some(stream)))));
        Ok(in_order)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panicked")
    }

    /// Takes the next block of a stream, or closes it at its end.
    fn advance(&self, source: &Source, stream: &mut Option<Stream>, block: &mut Block) -> Result<bool> {
        let Some(open) = stream else { return Ok(false) };
        if open.next(block)? {
            return Ok(true);
        }
        if let Some(ended) = stream.take() {
            self.close(ended);
        }
        self.state().open.retain(|other| !Arc::ptr_eq(other, source));
        Ok(false)
    }

    pub(super) fn close(&self, ended: Stream) {
        self.ended.lock().expect("no thread panicked").push((ended.input(), ended));
    }
}
