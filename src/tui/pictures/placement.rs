//! Where pictures of pixels belong on the screen: panels return placements, and the printer fills them after the frame.

use std::sync::Arc;

use image::RgbImage;
use ratatui::buffer::{Buffer, CellDiffOption};
use ratatui::layout::Rect;

/// A picture and the cells it may use.
#[derive(Clone, Debug)]
pub struct Placement {
    pub area: Rect,
    pub image: Arc<RgbImage>,
    /// Identifies the picture: equal keys mean equal pictures.
    pub key: u64,
}

/// Makes ratatui skip these cells, which pixels will cover. Once a frame no longer reserves them, they are drawn again.
pub fn reserve(area: Rect, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    for position in area.positions() {
        if let Some(cell) = buffer.cell_mut(position) {
            cell.reset();
            cell.set_diff_option(CellDiffOption::Skip);
        }
    }
}

/// Removes all reservations of a frame without pictures, so that every cell is drawn.
pub fn release(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if cell.diff_option == CellDiffOption::Skip {
            cell.set_diff_option(CellDiffOption::None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_cells_are_skipped_and_come_back_when_released() {
        let area = Rect::new(0, 0, 3, 1);
        let plain = Buffer::empty(area);
        let mut reserved = Buffer::empty(area);
        reserve(Rect::new(1, 0, 9, 9), &mut reserved);
        assert!(plain.diff(&reserved).is_empty());
        let back: Vec<u16> = reserved.diff(&plain).iter().map(|(x, _, _)| *x).collect();
        assert_eq!(back, [1, 2]);
        // A frame that needs no pictures after all takes its reservations back.
        let mut again = reserved.clone();
        release(&mut again);
        assert_eq!(reserved.diff(&again).len(), 2);
    }
}
