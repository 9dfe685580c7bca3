//! Owns cells in the temporary file: as few bytes as say them, and back again. What a cell is stands in `types::tally`; who
//! has too many of them is `tally`.

use crate::error::Result;
use crate::memory::Memory;
use crate::types::day::Day;
use crate::types::piece::Piece;
use crate::types::tally::{Cell, CellKey, Cells, Figure, GroupId, SpilledCells};
use crate::types::tier::{ContextBand, Terms, UsageTier};
use crate::types::varint::{push_varint, take_varint};

/// A piece is hardly longer, so that reading one takes little memory.
const PIECE: usize = 1 << 20;

/// Writes cells, sorted by day, to the file; gives where those of each day are.
pub fn spill<'c>(
    cells: impl IntoIterator<Item = (&'c CellKey, &'c Cell)>,
    memory: &Memory,
) -> Result<Vec<(Day, SpilledCells)>> {
    let mut spilled: Vec<(Day, SpilledCells)> = Vec::new();
    let (mut bytes, mut written) = (Vec::new(), 0);
    for (key, cell) in cells {
        if spilled[written..].last().is_none_or(|(day, _)| *day != key.day) {
            let piece = Piece { at: bytes.len() as u64, length: 0 };
            spilled.push((key.day, SpilledCells { piece, requests: 0 }));
        }
        push_cell(&mut bytes, key, cell);
        let (_, last) = spilled.last_mut().expect("it was just made");
        last.piece.length = (bytes.len() as u64 - last.piece.at) as u32;
        last.requests = last.requests.wrapping_add(cell.requests);
        if bytes.len() >= PIECE {
            write(&mut spilled[written..], &mut bytes, memory)?;
            written = spilled.len();
        }
    }
    write(&mut spilled[written..], &mut bytes, memory)?;
    Ok(spilled)
}

/// Writes `bytes`, and moves what is in them to where they were written.
fn write(spilled: &mut [(Day, SpilledCells)], bytes: &mut Vec<u8>, memory: &Memory) -> Result<()> {
    if !bytes.is_empty() {
        let at = memory.spill(bytes)?;
        spilled.iter_mut().for_each(|(_, spilled)| spilled.piece.at += at);
        bytes.clear();
    }
    Ok(())
}

/// The sums of cells, of which several may have one key.
pub fn merge(mut cells: Vec<(CellKey, &Cell)>) -> Cells {
    cells.sort_unstable_by_key(|(key, _)| *key);
    let mut merged = Cells::with_capacity(cells.chunk_by(|one, next| one.0 == next.0).count());
    for (key, cell) in cells {
        match merged.last_mut() {
            Some((last, own)) if *last == key => own.merge(cell),
            _ => merged.push((key, cell.clone())),
        }
    }
    merged
}

/// Adds what was spilled of a day to its cells.
pub fn add(cells: &mut Cells, day: Day, spilled: &[SpilledCells], memory: &Memory) -> Result<()> {
    let mut bytes = Vec::new();
    // Cells may stand in very many pieces, so not all are kept until they are merged.
    let mut most = 2 * cells.len() + PIECE / size_of::<(CellKey, Cell)>();
    let merge_all =
        |cells: &mut Cells| *cells = merge(cells.iter().map(|(key, cell)| (*key, cell)).collect());
    for SpilledCells { piece, .. } in spilled {
        bytes.resize(piece.length as usize, 0);
        memory.read(*piece, &mut bytes)?;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            cells.push(take_cell(&mut rest, day));
        }
        if cells.len() > most {
            merge_all(cells);
            most = most.max(2 * cells.len());
        }
    }
    merge_all(cells);
    Ok(())
}

fn push_cell(bytes: &mut Vec<u8>, key: &CellKey, cell: &Cell) {
    push_varint(bytes, u64::from(key.group.0));
    bytes.extend([key.usage_tier as u8, key.terms as u8]);
    push_varint(bytes, key.context_band.0);
    push_varint(bytes, cell.requests);
    bytes.push(cell.figures().count() as u8);
    for (figure, sum) in cell.figures() {
        bytes.push(figure.code());
        push_varint(bytes, sum);
    }
}

fn take_cell(bytes: &mut &[u8], day: Day) -> (CellKey, Cell) {
    let group = GroupId(take_varint(bytes) as u32);
    let [usage_tier, terms] = [(); 2].map(|()| usize::from(take_byte(bytes)));
    let key = CellKey {
        day,
        group,
        usage_tier: UsageTier::ALL[usage_tier],
        context_band: ContextBand(take_varint(bytes)),
        terms: Terms::ALL[terms],
    };
    let requests = take_varint(bytes);
    let figures = take_byte(bytes);
    let figures = (0..figures).map(|_| (Figure::from_code(take_byte(bytes)), take_varint(bytes)));
    (key, Cell::new(requests, figures))
}

fn take_byte(bytes: &mut &[u8]) -> u8 {
    let (&byte, rest) = bytes.split_first().expect("a cell was written whole");
    *bytes = rest;
    byte
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn cells_come_back_as_the_sum_of_what_was_spilled() {
        let memory = Memory::new(None, 1);
        let key = |day, place: u64| CellKey {
            day: Day(day),
            group: GroupId(place as u32 * 77),
            usage_tier: UsageTier::ALL[place as usize % UsageTier::ALL.len()],
            context_band: ContextBand(place << 10),
            terms: Terms::ALL[place as usize % Terms::ALL.len()],
        };
        // Some have more figures than a cell has room for, and parts of sums are below 0.
        let cell = |place: u64, sum: u64| {
            let figures = (0..place % 30).map(|figure| (Figure::from_code(figure as u8), sum + figure));
            Cell::new(sum, figures)
        };
        let cells = |first: u64, below: u64| -> Vec<(CellKey, Cell)> {
            let of_day = |day| move |place| (key(day, place), cell(place, (place + 1).wrapping_sub(below)));
            (0..3).flat_map(|day| (first..20_000).map(of_day(day))).collect()
        };
        let (one, other) = (cells(0, 0), cells(10_000, 1 << 40));
        let spill = |cells: &[(CellKey, Cell)]| {
            let spilled = spill(cells.iter().map(|(key, cell)| (key, cell)), &memory);
            spilled.expect("a temporary file")
        };
        let mut spilled = spill(&one);
        assert!(spilled.len() > 3 && spilled.iter().all(|(_, one)| one.piece.length < 2 * PIECE as u32));
        spilled.extend(spill(&other));
        for day in [0, 1, 2].map(Day) {
            let mut found = Cells::default();
            let of_day = spilled.drain(..).partition::<Vec<_>, _>(|(own, _)| *own == day);
            let (of_day, rest) = of_day;
            spilled = rest;
            let of_day: Vec<SpilledCells> = of_day.into_iter().map(|(_, spilled)| spilled).collect();
            add(&mut found, day, &of_day, &memory).expect("a temporary file");
            let mut expected: BTreeMap<CellKey, Cell> = BTreeMap::new();
            for (key, cell) in one.iter().chain(&other).filter(|(key, _)| key.day == day) {
                expected.entry(*key).or_default().merge(cell);
            }
            assert!(found.iter().map(|(key, cell)| (key, cell)).eq(&expected));
            let requests = of_day.iter().fold(0, |sum: u64, one| sum.wrapping_add(one.requests));
            let expected = expected.values().fold(0, |sum: u64, cell| sum.wrapping_add(cell.requests));
            assert_eq!(requests, expected);
        }
    }
}
