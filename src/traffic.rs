//! Owns traffic in the temporary file: a day's series as runs of arrivals, part by part, and back again. What traffic is
//! stands in `types::tally`; who has too much of it is `tally`.

use crate::error::Result;
use crate::memory::Memory;
use crate::types::piece::Piece;
use crate::types::tally::{Arrival, DayTraffic, GroupId, Part, SeriesKey};
use crate::types::tier::UsageTier;

/// A piece is about as long, so that reading one takes little memory.
const PIECE: usize = 1 << 20;
/// Arrivals of a run, at most.
const RUN: usize = PIECE / 2 / ARRIVAL;
const ARRIVAL: usize = 8;

/// Writes a day's series to the file; gives where those of each part are. `part_of` knows the part of a group.
pub fn spill(
    traffic: &DayTraffic,
    part_of: impl Fn(GroupId) -> Part,
    memory: &Memory,
) -> Result<Vec<(Part, Piece)>> {
    let mut runs: Vec<(Part, &SeriesKey, &[Arrival])> = Vec::new();
    for (key, arrivals) in traffic.series() {
        runs.extend(arrivals.chunks(RUN).map(|arrivals| (part_of(key.group), key, arrivals)));
    }
    runs.sort_unstable_by_key(|(part, _, _)| *part);
    let mut pieces: Vec<(Part, Piece)> = Vec::new();
    let (mut bytes, mut written) = (Vec::new(), 0);
    for of_part in runs.chunk_by(|one, next| one.0 == next.0) {
        let mut begin = bytes.len();
        for (place, (part, key, arrivals)) in of_part.iter().enumerate() {
            push_run(&mut bytes, key, arrivals);
            let length = bytes.len() - begin;
            if length >= PIECE || place + 1 == of_part.len() {
                pieces.push((*part, Piece { at: begin as u64, length: length as u32 }));
                begin = bytes.len();
            }
            // Small pieces are written together.
            if begin >= PIECE {
                place_all(&mut pieces[written..], memory.spill(&bytes)?);
                (written, begin) = (pieces.len(), 0);
                bytes.clear();
            }
        }
    }
    if !bytes.is_empty() {
        place_all(&mut pieces[written..], memory.spill(&bytes)?);
    }
    Ok(pieces)
}

/// Moves pieces to where the bytes that they are in were written.
fn place_all(pieces: &mut [(Part, Piece)], at: u64) {
    pieces.iter_mut().for_each(|(_, piece)| piece.at += at);
}

/// Reads the series of one part of a day; one of them may stand in it several times.
pub fn read(pieces: &[Piece], memory: &Memory) -> Result<DayTraffic> {
    let length: u64 = pieces.iter().map(|piece| u64::from(piece.length)).sum();
    let (mut series, mut arrivals) = (Vec::new(), Vec::with_capacity(length as usize / ARRIVAL));
    let mut bytes = Vec::new();
    for piece in pieces {
        bytes.resize(piece.length as usize, 0);
        memory.read(*piece, &mut bytes)?;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (key, length);
            (key, length, rest) = take_run(rest);
            let (run, after) = rest.split_at(length * ARRIVAL);
            let (run, _) = run.as_chunks::<ARRIVAL>();
            arrivals.extend(run.iter().map(|bits| Arrival::from_bits(u64::from_le_bytes(*bits))));
            series.push((key, length));
            rest = after;
        }
    }
    Ok(DayTraffic::new(series, arrivals))
}

fn push_run(bytes: &mut Vec<u8>, key: &SeriesKey, arrivals: &[Arrival]) {
    bytes.extend_from_slice(&key.group.0.to_le_bytes());
    bytes.extend_from_slice(&[key.usage_tier as u8, u8::from(key.undated)]);
    bytes.extend_from_slice(&(arrivals.len() as u32).to_le_bytes());
    bytes.extend(arrivals.iter().flat_map(|arrival| arrival.bits().to_le_bytes()));
}

/// The series of the run with which `bytes` begins, the number of its arrivals, and the bytes of them and of what follows.
fn take_run(bytes: &[u8]) -> (SeriesKey, usize, &[u8]) {
    let (&group, rest) = bytes.split_first_chunk().expect("a run was written whole");
    let (&[usage_tier, undated], rest) = rest.split_first_chunk().expect("a run was written whole");
    let (&length, rest) = rest.split_first_chunk().expect("a run was written whole");
    let key = SeriesKey {
        group: GroupId(u32::from_le_bytes(group)),
        usage_tier: UsageTier::ALL[usize::from(usage_tier)],
        undated: undated != 0,
    };
    (key, u32::from_le_bytes(length) as usize, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_come_back_as_they_were_spilled() {
        let memory = Memory::new(None, 1);
        let lengths = [1, 5, 3 * RUN + 7, 2, RUN];
        let key = |place: usize| SeriesKey {
            group: GroupId(1 << 31 | place as u32),
            usage_tier: UsageTier::ALL[place],
            undated: !place.is_multiple_of(2),
        };
        let arrivals: Vec<Arrival> =
            (0..lengths.iter().sum()).map(|place: usize| Arrival::new(9, place as u64)).collect();
        let series = lengths.iter().enumerate().map(|(place, length)| (key(place), *length));
        let traffic = DayTraffic::new(series, arrivals);
        let part_of = |group: GroupId| Part::of(if group.0.is_multiple_of(2) { "even" } else { "odd" });
        let mut pieces = spill(&traffic, part_of, &memory).expect("a temporary file");
        pieces.extend(spill(&traffic, part_of, &memory).expect("a temporary file"));

        let mut found = Vec::new();
        for part in [Part::of("odd"), Part::of("even")] {
            let of_part = pieces.iter().filter(|(own, _)| *own == part);
            let of_part: Vec<Piece> = of_part.map(|(_, piece)| *piece).collect();
            assert!(of_part.iter().all(|piece| piece.length as usize <= 2 * PIECE));
            let traffic = read(&of_part, &memory).expect("a temporary file");
            for (key, arrivals) in traffic.series() {
                assert_eq!(part_of(key.group), part);
                found.extend(arrivals.iter().map(|arrival| (*key, *arrival)));
            }
        }
        let one =
            || traffic.series().flat_map(|(key, arrivals)| arrivals.iter().map(|arrival| (*key, *arrival)));
        let mut expected: Vec<_> = one().chain(one()).collect();
        expected.sort_unstable();
        found.sort_unstable();
        assert!(found == expected);
    }
}
