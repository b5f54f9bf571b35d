//! Rectangles around tiles: which parts of a picture are run through the network so that the tiles that need it are.

use crate::image::{Area, Size, Window};

/// From this share of the picture on, context included, the whole is run: it has no seams, and rectangles cost more.
const NEARLY_ALL: f32 = 0.8;
/// Rectangles are put together with one of so many that follow, from the top left on: others are seldom near.
const NEAR: usize = 16;

/// The tiles of a picture: squares from its left upper corner on, the last of a row or column cut off where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// The picture.
    pub picture: Size,
    /// Side of a tile.
    pub tile: usize,
    /// Tiles across and down.
    pub tiles: Size,
}

impl Grid {
    /// Tiles of a side, at least one pixel.
    pub fn new(picture: Size, tile: usize) -> Self {
        let tile = tile.max(1);
        let tiles = Size::new(picture.width.div_ceil(tile), picture.height.div_ceil(tile));
        Self { picture, tile, tiles }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.tiles.width * self.tiles.height
    }

    /// A run of tiles of a row, as pixels.
    fn area(&self, (left, right): (usize, usize), (top, bottom): (usize, usize)) -> Area {
        let (x, y) = (left * self.tile, top * self.tile);
        let width = (right * self.tile).min(self.picture.width) - x;
        let height = (bottom * self.tile).min(self.picture.height) - y;
        Area { x, y, size: Size::new(width, height) }
    }

    /// A tile, as pixels.
    pub fn tile_area(&self, index: usize) -> Area {
        let (x, y) = (index % self.tiles.width, index / self.tiles.width);
        self.area((x, x + 1), (y, y + 1))
    }

    /// The tiles that an area touches.
    pub fn touched(&self, area: &Area) -> impl Iterator<Item = usize> + use<> {
        let last = |from: usize, length: usize, most: usize| (from + length).div_ceil(self.tile).min(most);
        let across = area.x / self.tile..last(area.x, area.size.width, self.tiles.width);
        let down = area.y / self.tile..last(area.y, area.size.height, self.tiles.height);
        let width = self.tiles.width;
        down.flat_map(move |y| across.clone().map(move |x| y * width + x))
    }

    /// Rectangles that cover the tiles that are wanted, and others where that saves more context than it costs; they may
    /// overlap. `None` where the whole picture is nearly as cheap.
    pub fn rectangles(&self, wanted: &[bool], window: &Window) -> Option<Vec<Area>> {
        let cost = |area: &Area| {
            let size = window.around(*area, self.picture).size;
            let pixels = size.width * size.height;
            if pixels > window.most { usize::MAX } else { pixels + Window::RUN }
        };
        let mut areas = self.strips(wanted, &cost);
        // What saves most first.
        while let Some((saved, a, b)) = best_pair(&areas, &cost)
            && saved > 0
        {
            let other = areas.remove(b);
            areas[a] = areas[a].hull(&other);
        }
        areas.sort_unstable_by_key(|area| (area.y, area.x));
        let taken: usize = areas.iter().map(|area| cost(area).saturating_sub(Window::RUN)).sum();
        let whole = self.picture.width * self.picture.height;
        (taken as f32 <= NEARLY_ALL * whole as f32).then_some(areas)
    }

    /// Runs of wanted tiles of each row, together with the same run of the row above.
    fn strips(&self, wanted: &[bool], cost: &dyn Fn(&Area) -> usize) -> Vec<Area> {
        let mut areas: Vec<Area> = Vec::new();
        for (y, row) in wanted.chunks(self.tiles.width).enumerate() {
            let mut x = 0;
            while x < row.len() {
                let run = row[x..].iter().take_while(|wanted| **wanted).count();
                // As much of the run as one run of the network may have.
                let fits = (1..=run)
                    .rev()
                    .find(|&run| cost(&self.area((x, x + run), (y, y + 1))) < usize::MAX)
                    .unwrap_or(1);
                if run > 0 {
                    let strip = self.area((x, x + fits), (y, y + 1));
                    let above = areas.iter_mut().find(|area| {
                        let is_above = area.y + area.size.height == strip.y && area.x == strip.x;
                        is_above
                            && area.size.width == strip.size.width
                            && cost(&area.hull(&strip)) < usize::MAX
                    });
                    match above {
                        Some(above) => *above = above.hull(&strip),
                        None => areas.push(strip),
                    }
                }
                x += if run > 0 { fits } else { 1 };
            }
        }
        areas
    }
}

/// The two areas that cost least together instead of apart, and what that saves.
fn best_pair(areas: &[Area], cost: &dyn Fn(&Area) -> usize) -> Option<(usize, usize, usize)> {
    let costs: Vec<usize> = areas.iter().map(cost).collect();
    let near = |a: usize| a + 1..(a + 1 + NEAR).min(areas.len());
    let pairs = (0..areas.len()).flat_map(|a| near(a).map(move |b| (a, b)));
    pairs
        .map(|(a, b)| {
            let apart = costs[a].saturating_add(costs[b]);
            (apart.saturating_sub(cost(&areas[a].hull(&areas[b]))), a, b)
        })
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without any order, the same every time.
    fn chosen(count: usize, seed: usize, of: usize) -> Vec<bool> {
        (0..count).map(|k| ((k + 1) * (seed * 2 + 1) * 7919 + k * k * 31) % 100 < of).collect()
    }

    #[test]
    fn rectangles_cover_every_tile_that_is_wanted_and_stay_in_the_picture() {
        for (width, height) in [(1, 1), (32, 32), (200, 150), (641, 359), (33, 500)] {
            for (tile, context, most) in [(32, 4, usize::MAX), (16, 8, 5000), (64, 0, 10_000), (32, 8, 1)] {
                let grid = Grid::new(Size::new(width, height), tile);
                for seed in 0..12 {
                    let wanted = chosen(grid.count(), seed, 8 * seed);
                    let window = Window { context, most };
                    let Some(areas) = grid.rectangles(&wanted, &window) else { continue };
                    let mut covered = vec![false; grid.count()];
                    for area in &areas {
                        assert!(area.x + area.size.width <= width && area.y + area.size.height <= height);
                        let seen = window.around(*area, grid.picture).size;
                        let is_one_tile = grid.touched(area).count() == 1;
                        assert!(seen.width * seen.height <= most || is_one_tile, "{area:?}");
                        grid.touched(area).for_each(|tile| covered[tile] = true);
                    }
                    assert!(wanted.iter().zip(&covered).all(|(wanted, covered)| covered | !wanted));
                }
            }
        }
    }

    #[test]
    fn nothing_wanted_is_nothing_run_and_nearly_all_is_all() {
        let grid = Grid::new(Size::new(200, 150), 32);
        let window = Window { context: 4, most: usize::MAX };
        assert_eq!(grid.rectangles(&vec![false; grid.count()], &window), Some(vec![]));
        assert_eq!(grid.rectangles(&vec![true; grid.count()], &window), None);
        let mut most = vec![true; grid.count()];
        most[0] = false;
        assert_eq!(grid.rectangles(&most, &window), None);
    }

    #[test]
    fn neighbours_are_one_rectangle_and_far_tiles_are_not() {
        let grid = Grid::new(Size::new(640, 360), 32);
        let window = Window { context: 4, most: usize::MAX };
        let mut wanted = vec![false; grid.count()];
        for tile in [0, 1, 20, 21] {
            wanted[tile] = true;
        }
        let square = Area { x: 0, y: 0, size: Size::new(64, 64) };
        assert_eq!(grid.rectangles(&wanted, &window), Some(vec![square]));
        wanted[grid.count() - 1] = true;
        let areas = grid.rectangles(&wanted, &window).unwrap();
        assert_eq!(areas, [square, grid.tile_area(grid.count() - 1)]);
    }

    #[test]
    fn tiles_that_an_area_touches_are_those_that_share_a_pixel_with_it() {
        let grid = Grid::new(Size::new(100, 70), 32);
        for x in 0..100 {
            for (y, width, height) in [(0, 1, 1), (31, 2, 40), (5, 33, 65)] {
                let size = Size::new(width.min(100 - x), height.min(70 - y));
                let area = Area { x, y, size };
                let shares = |tile: &Area| {
                    let meets = |a: usize, long: usize, b: usize, other: usize| a < b + other && b < a + long;
                    meets(area.x, size.width, tile.x, tile.size.width)
                        && meets(area.y, size.height, tile.y, tile.size.height)
                };
                let expected: Vec<_> =
                    (0..grid.count()).filter(|&tile| shares(&grid.tile_area(tile))).collect();
                assert_eq!(grid.touched(&area).collect::<Vec<_>>(), expected, "{area:?}");
            }
        }
    }
}
