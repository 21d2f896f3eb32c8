//! Seeded draws of training and test sets.
//!
//! A draw is a list of indices in drawn order. It depends on the labels of the split, the arguments and the generator
//! alone: with a portable generator such as ChaCha, it is the same on every machine.

use crate::{Classes, N_CLASSES, Split};
use rand::{Rng, seq::SliceRandom};

/// How a training set of `n × n_classes` images is drawn from a shuffled data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DrawPolicy {
    /// The first `n` images of each class: classes are exactly balanced. The default of this project.
    ExactPerClass,
    /// The first `n × n_classes` images of any of the classes, as the paper's code does: classes are balanced only
    /// roughly (1,862 to 2,229 images for `n = 2,000` on MNIST).
    FirstMatches,
}

/// Why a training set could not be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DrawError {
    /// A class has fewer images than wanted.
    #[error("class {class}: found {found} images, expected at least {wanted}")]
    ClassTooSmall {
        /// Label of the first such class.
        class: u8,
        /// Images it has.
        found: usize,
        /// Images wanted of it.
        wanted: usize,
    },
    /// The classes together have fewer images than wanted.
    #[error("classes {classes}: found {found} images, expected at least {wanted}")]
    TooFewMatches {
        /// The classes drawn from.
        classes: Classes,
        /// Images they have together.
        found: usize,
        /// Images wanted.
        wanted: usize,
    },
}

/// Draws `n_per_class × n_classes` training images from a shuffled set; returns indices into `split`, in drawn order.
///
/// Both policies read the same shuffled order, so with one seed they agree until a class is full.
///
/// # Errors
/// [`DrawError`] when the images do not suffice.
pub fn draw_train(
    split: &Split,
    classes: &Classes,
    n_per_class: usize,
    policy: DrawPolicy,
    rng: &mut (impl Rng + ?Sized),
) -> Result<Vec<usize>, DrawError> {
    let wanted = n_per_class * classes.n_classes();
    let available = split.class_counts();
    match policy {
        DrawPolicy::ExactPerClass => {
            for &class in classes.labels() {
                let found = available[usize::from(class)];
                if found < n_per_class {
                    return Err(DrawError::ClassTooSmall { class, found, wanted: n_per_class });
                }
            }
        }
        DrawPolicy::FirstMatches => {
            let found = classes.labels().iter().map(|class| available[usize::from(*class)]).sum();
            if found < wanted {
                return Err(DrawError::TooFewMatches { classes: classes.clone(), found, wanted });
            }
        }
    }
    let mut quota = [0; N_CLASSES];
    for &class in classes.labels() {
        quota[usize::from(class)] = match policy {
            DrawPolicy::ExactPerClass => n_per_class,
            DrawPolicy::FirstMatches => usize::MAX,
        };
    }
    Ok(take(split.labels(), quota, wanted, rng))
}

/// Draws up to `n_at_most` test images of these classes, as balanced as they allow; returns indices into `split`, in
/// drawn order.
///
/// Every class gives the same number, except that a class with fewer images gives all it has and the others make up
/// for it, and that a remainder goes one by one to the first classes of the list. It draws less than `n_at_most` only
/// when the classes have less.
pub fn draw_test(split: &Split, classes: &Classes, n_at_most: usize, rng: &mut (impl Rng + ?Sized)) -> Vec<usize> {
    let available = split.class_counts();
    let mut quota = [0; N_CLASSES];
    let mut n = 0;
    // One image a class and round, until there are enough or no class has another.
    loop {
        let before = n;
        for &class in classes.labels() {
            let class = usize::from(class);
            if n < n_at_most && quota[class] < available[class] {
                quota[class] += 1;
                n += 1;
            }
        }
        if n == before {
            return take(split.labels(), quota, n, rng);
        }
    }
}

/// The first `n` images of a shuffled set that their class's quota lets in.
fn take(labels: &[u8], mut quota: [usize; N_CLASSES], n: usize, rng: &mut (impl Rng + ?Sized)) -> Vec<usize> {
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.shuffle(rng);
    order.retain(|&i| {
        let left = &mut quota[usize::from(labels[i])];
        let taken = *left > 0;
        *left = left.saturating_sub(1);
        taken
    });
    order.truncate(n);
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ImageShape;
    use proptest::prelude::*;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

    fn rng(seed: u64) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(seed)
    }

    /// A split of one-pixel images with these labels.
    fn labelled(labels: &[u8]) -> Split {
        let shape = ImageShape { channels: 1, height: 1, width: 1 };
        Split::new(shape, labels.to_vec(), labels.to_vec()).unwrap()
    }

    fn drawn_counts(split: &Split, drawn: &[usize]) -> [usize; N_CLASSES] {
        split.select(drawn, &Classes::first(N_CLASSES).unwrap()).class_counts()
    }

    #[test]
    fn values_are_stable() {
        // Recorded from this implementation: a change here changes every training set ever drawn.
        let split = labelled(&(0..30).map(|i| i % 5).collect::<Vec<_>>());
        let classes = Classes::first(3).unwrap();
        let exact = draw_train(&split, &classes, 2, DrawPolicy::ExactPerClass, &mut rng(7)).unwrap();
        let first = draw_train(&split, &classes, 2, DrawPolicy::FirstMatches, &mut rng(7)).unwrap();
        let test = draw_test(&split, &classes, 5, &mut rng(7));
        assert_eq!(exact, [27, 22, 25, 26, 15, 21]);
        assert_eq!(first, [27, 22, 2, 25, 26, 15]);
        assert_eq!(test, [27, 25, 26, 15, 21]);
    }

    #[test]
    fn errors_name_the_class_and_the_counts() {
        let split = labelled(&[0, 0, 1, 2, 2, 2]);
        let classes = Classes::first(3).unwrap();
        let exact = draw_train(&split, &classes, 2, DrawPolicy::ExactPerClass, &mut rng(0)).unwrap_err();
        assert_eq!(exact, DrawError::ClassTooSmall { class: 1, found: 1, wanted: 2 });
        assert_eq!(exact.to_string(), "class 1: found 1 images, expected at least 2");
        let first = draw_train(&split, &classes, 3, DrawPolicy::FirstMatches, &mut rng(0)).unwrap_err();
        assert_eq!(first.to_string(), "classes 0, 1, 2: found 6 images, expected at least 9");
    }

    #[test]
    fn test_draws_balance_what_there_is() {
        let split = labelled(&[[0].repeat(50), [1].repeat(3), [2].repeat(50), [3].repeat(50)].concat());
        let classes = Classes::of(&[2, 1, 0]).unwrap();
        let counts_of = |n| drawn_counts(&split, &draw_test(&split, &classes, n, &mut rng(1)))[..4].to_vec();
        assert_eq!(counts_of(8), [2, 3, 3, 0]);
        assert_eq!(counts_of(20), [8, 3, 9, 0]);
        assert_eq!(counts_of(1000), [50, 3, 50, 0]);
        assert_eq!(counts_of(0), [0; 4]);
    }

    proptest! {
        #[test]
        fn exact_draws_are_balanced_distinct_and_of_the_classes(
            labels in prop::collection::vec(0u8..10, 0..200),
            chosen in prop::sample::subsequence((0u8..10).collect::<Vec<_>>(), 1..=10),
            n in 0usize..12,
            seed: u64,
        ) {
            let classes = Classes::of(&chosen).unwrap();
            let split = labelled(&labels);
            let available = split.class_counts();
            let drawn = draw_train(&split, &classes, n, DrawPolicy::ExactPerClass, &mut rng(seed));
            if let Some(&short) = chosen.iter().find(|y| available[usize::from(**y)] < n) {
                let found = available[usize::from(short)];
                prop_assert_eq!(drawn, Err(DrawError::ClassTooSmall { class: short, found, wanted: n }));
            } else {
                let drawn = drawn.unwrap();
                let mut distinct = drawn.clone();
                distinct.sort_unstable();
                distinct.dedup();
                prop_assert_eq!(distinct.len(), drawn.len());
                for y in 0..10u8 {
                    let expected = if chosen.contains(&y) { n } else { 0 };
                    prop_assert_eq!(drawn_counts(&split, &drawn)[usize::from(y)], expected);
                }
            }
        }

        #[test]
        fn first_matches_is_a_prefix_of_the_shuffled_matches(
            labels in prop::collection::vec(0u8..10, 30..200),
            seed: u64,
        ) {
            let classes = Classes::first(4).unwrap();
            let split = labelled(&labels);
            let all: usize = split.class_counts()[..4].iter().sum();
            let some = draw_train(&split, &classes, all / 8, DrawPolicy::FirstMatches, &mut rng(seed)).unwrap();
            let more = draw_train(&split, &classes, all / 4, DrawPolicy::FirstMatches, &mut rng(seed)).unwrap();
            prop_assert_eq!(more.len(), all / 4 * 4);
            prop_assert_eq!(&some[..], &more[..some.len()]);
            prop_assert!(more.iter().all(|&i| split.labels()[i] < 4));
        }

        #[test]
        fn test_draws_take_all_they_may(labels in prop::collection::vec(0u8..10, 0..200), n in 0usize..250, seed: u64) {
            let classes = Classes::first(6).unwrap();
            let split = labelled(&labels);
            let available = split.class_counts();
            let drawn = draw_test(&split, &classes, n, &mut rng(seed));
            prop_assert_eq!(drawn.len(), n.min(available[..6].iter().sum()));
            // Balanced: no class is behind another by more than one, unless it gave all it has.
            let got = drawn_counts(&split, &drawn);
            let most = got[..6].iter().max().unwrap();
            for y in 0..6 {
                prop_assert!(got[y] == available[y] || got[y] + 1 >= *most);
            }
        }
    }
}
