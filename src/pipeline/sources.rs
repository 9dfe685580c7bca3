//! Owns which input a thread reads next, and the blocks that are read ahead: one large file is shared, many packed ones
//! are spread, and one whose items must be read in their order is one thread's alone. Leaves to `read` how an input is
//! read, to `reader` what its lines are.
//!
//! A thread reads the next block of a stream that no other thread is reading, else takes one that is ready, else opens
//! the next input, else waits. Who has a stream reads on until some blocks are ready, and decodes the one read last, which
//! is still near. So nobody waits who finds the stream taken; and where unpacking is what takes the time, who has the
//! stream goes on unpacking, as nobody else could meanwhile, while others take the blocks. A stream that is unpacked by
//! what came before stays with its thread as long as blocks are ready.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::error::Result;
use crate::read::gz::Ahead;
use crate::read::lines::{BLOCK_FOR_ANOTHER, Block, Who};
use crate::read::stream::Stream;
use crate::read::{Inputs, Progress};
use crate::types::origin::InputId;

/// The inputs of a run, for all its threads.
pub(super) struct Sources<'s> {
    state: Mutex<State>,
    /// Told whenever there may be something to do for a thread that waits.
    changed: Condvar,
    inputs: &'s Inputs,
    progress: &'s Arc<Progress>,
    threads: usize,
}

struct State {
    waiting: std::vec::IntoIter<InputId>,
    /// Open streams that nobody is reading, each with the thread that did last.
    idle: Vec<(Option<usize>, Stream)>,
    /// Threads that open or read one: there may be more to do once they have, so nobody else leaves until then.
    busy: usize,
    ready: Vec<Block>,
    /// What of open streams may be read ahead, by the input.
    ahead: Vec<(InputId, Arc<Ahead>)>,
    /// Buffers for blocks.
    spare: Vec<Block>,
    /// Streams that were read, in the order in which they ended.
    ended: Vec<Stream>,
    /// There will be no result: nobody need go on.
    failed: bool,
}

impl State {
    /// A stream to read on: the thread's own if it can be, of which what was learnt and read is near; another's that refers
    /// to what was read only where no block is ready.
    fn take_idle(&mut self) -> Option<Stream> {
        let own = rayon::current_thread_index();
        let place = self.idle.iter().rposition(|(last, _)| *last == own);
        let any = |(last, stream): &(Option<usize>, Stream)| {
            last.is_none() || self.ready.is_empty() || !stream.refers_back()
        };
        let place = place.or_else(|| self.idle.iter().rposition(any))?;
        Some(self.idle.swap_remove(place).1)
    }
}

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
                idle: Vec::new(),
                busy: 0,
                ready: Vec::new(),
                ahead: Vec::new(),
                spare: Vec::new(),
                ended: Vec::new(),
                failed: false,
            }),
            changed: Condvar::new(),
            inputs,
            progress,
            threads: rayon::current_num_threads(),
        }
    }

    /// The inputs that were read.
    pub(super) fn into_ended(self) -> Vec<Stream> {
        self.state.into_inner().expect("no thread panicked").ended
    }

    /// Fills `block` with lines that nobody has yet, or gives an input that one thread reads.
    pub(super) fn next(&self, block: &mut Block) -> Result<Next> {
        let mut state = self.state();
        // Nothing was found to help with since this thread last waited.
        let mut no_help = false;
        loop {
            if state.failed {
                return Ok(Next::Nothing);
            } else if let Some(stream) = state.take_idle() {
                let _busy = self.begin(state);
                if self.read_on(stream, block)? {
                    return Ok(Next::Block);
                }
            } else if let Some(ready) = state.ready.pop() {
                let read = std::mem::replace(block, ready);
                state.spare.extend(Some(read).filter(Block::is_small));
                return Ok(Next::Block);
            } else if let Some(id) = state.waiting.next() {
                let _busy = self.begin(state);
                if let Some(stream) = self.open(id)? {
                    return Ok(Next::InOrder(Box::new(stream)));
                }
            } else if state.busy > 0 && no_help {
                state = self.changed.wait(state).expect("no thread panicked");
                no_help = false;
                continue;
            } else if state.busy > 0 {
                let ahead = state.ahead.clone();
                drop(state);
                no_help = !ahead.iter().any(|(_, ahead)| ahead.help(self.threads - 1));
            } else {
                return Ok(Next::Nothing);
            }
            state = self.state();
        }
    }

    /// Takes note that a stream was read to its end.
    pub(super) fn end(&self, stream: Stream) {
        let mut state = self.state();
        state.ahead.retain(|(input, _)| *input != stream.input());
        state.ended.push(stream);
    }

    /// Lets the other threads leave: there will be no result.
    pub(super) fn fail(&self) {
        self.state().failed = true;
        self.changed.notify_all();
    }

    /// Opens an input for all threads, or gives one that must be read in its order.
    fn open(&self, id: InputId) -> Result<Option<Stream>> {
        let input = &self.inputs.list[id.0 as usize];
        let settings = self.inputs.settings_of(id);
        let mut streams = Stream::open(id, input, settings, self.threads, self.progress.clone())?;
        let in_order = streams.pop_if(|stream| stream.is_in_order());
        let mut state = self.state();
        state.ahead.extend(streams.iter().filter_map(|stream| Some((id, stream.ahead()?))));
        state.idle.extend(streams.into_iter().map(|stream| (None, stream)));
        drop(state);
        self.changed.notify_all();
        Ok(in_order)
    }

    /// Reads blocks until enough are ready, and one more into `block`; false at the end of the stream.
    fn read_on(&self, mut stream: Stream, block: &mut Block) -> Result<bool> {
        while let Some(mut other) = self.room_for_others(&stream) {
            if !stream.next(&mut other, Who::Another)? {
                self.state().spare.push(other);
                self.end(stream);
                return Ok(false);
            }
            self.state().ready.push(other);
            self.changed.notify_one();
        }
        if self.state().failed {
            return Ok(false);
        }
        if !stream.next(block, Who::Itself)? {
            self.end(stream);
            return Ok(false);
        }
        self.state().idle.push((rayon::current_thread_index(), stream));
        self.changed.notify_one();
        Ok(true)
    }

    /// A block to be read for other threads, while they have few.
    fn room_for_others(&self, stream: &Stream) -> Option<Block> {
        let mut state = self.state();
        let ready: usize = state.ready.iter().map(|ready| ready.bytes().len()).sum();
        let are_few = self.threads > 1 && ready < self.threads * BLOCK_FOR_ANOTHER;
        let goes_on = stream.is_shared() && are_few && !state.failed;
        goes_on.then(|| state.spare.pop().unwrap_or_default())
    }

    fn begin(&self, mut state: MutexGuard<'_, State>) -> Busy<'_, 's> {
        state.busy += 1;
        Busy(self)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panicked")
    }
}

/// A thread that opens or reads a stream, until it has: also if it panics.
struct Busy<'a, 's>(&'a Sources<'s>);

impl Drop for Busy<'_, '_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.busy -= 1;
        state.failed |= std::thread::panicking();
        if state.busy == 0 {
            self.0.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::time::Duration;

    use super::*;

    /// What a thread is told that waits for one which is at work on the only input.
    fn told_while(end: impl FnOnce(&Sources<'_>) + Send) -> Next {
        let (inputs, progress, both) = (Inputs::default(), Arc::default(), Barrier::new(2));
        let sources = Sources::new(&inputs, &progress);
        std::thread::scope(|scope| {
            let at_work = scope.spawn(|| {
                let _busy = sources.begin(sources.state());
                both.wait();
                std::thread::sleep(Duration::from_millis(20));
                end(&sources);
            });
            both.wait();
            let next = sources.next(&mut Block::default()).expect("nothing is read");
            let _ = at_work.join();
            next
        })
    }

    #[test]
    fn nobody_waits_for_a_thread_that_panicked_or_failed() {
        assert!(matches!(told_while(|_| {}), Next::Nothing));
        assert!(matches!(told_while(|_| panic!("as an input might make it")), Next::Nothing));
        assert!(matches!(
            told_while(|sources| {
                sources.state().ready.push(Block::default());
                sources.fail();
            }),
            Next::Nothing
        ));
        let given = told_while(|sources| {
            sources.state().ready.push(Block::default());
            sources.changed.notify_one();
        });
        assert!(matches!(given, Next::Block));
    }
}
