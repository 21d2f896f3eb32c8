//! Matched partners: for every sample another one of its class, whose activity stands in for a fresh draw (`MATH §5`).

use rand::{Rng, RngExt};
use superlinear_curvature::{AnalysedLayer, NotGiven};

/// How a sample's partner is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PartnerPolicy {
    /// The paper's: for each analysis batch of `batch` consecutive samples draw `per_class` anchors of every class, and
    /// take the nearest anchor of the sample's class.
    Anchors {
        /// Anchors of each class, at least 1; all of a class that has fewer.
        per_class: usize,
        /// Samples an analysis batch, at least 1.
        batch: usize,
    },
    /// The nearest member of the whole class.
    NearestInClass,
    /// Any other member of the class, uniformly.
    UniformInClass,
}

impl PartnerPolicy {
    /// The paper's settings: 20 anchors a class, analysis batches of 64.
    pub const PAPER: Self = Self::Anchors { per_class: 20, batch: 64 };
}

/// One partner a sample, with what deserves counting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partners {
    /// The partner of every sample: of its class, never itself.
    pub of: Vec<usize>,
    /// Samples whose partner has the same activity, so that `Δa = 0`.
    pub n_duplicates: usize,
    /// Samples with `a = 0`, whose dual perturbation is zero because no weight change moves `W a`.
    pub n_zero_activities: usize,
}

/// Partners that cannot be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartnerError {
    /// A class has a single sample.
    #[error("class {class}: 1 sample, expected at least 2 so that sample {sample} has a partner")]
    LonelyClass {
        /// The class.
        class: u8,
        /// Its only sample.
        sample: usize,
    },
    /// A count in the policy is 0.
    #[error("{field} is 0, expected at least 1")]
    Zero {
        /// Its name.
        field: &'static str,
    },
    /// The classes are not known.
    #[error(transparent)]
    NotGiven(#[from] NotGiven),
}

/// Chooses a partner for every sample; distances are Euclidean, between activities, and exact (no product formula).
///
/// The nearest of equally near candidates is the first drawn, or for [`PartnerPolicy::NearestInClass`] the first in
/// order. A sample that finds no anchor but itself takes another member of its class, uniformly.
///
/// # Errors
/// When a class has a single sample, a count is 0, or the layer's factors were given without classes.
pub fn choose_partners(
    layer: &AnalysedLayer,
    policy: PartnerPolicy,
    rng: &mut impl Rng,
) -> Result<Partners, PartnerError> {
    let (labels, n_samples) = (layer.labels()?, layer.n_samples());
    let members = members_by_class(labels)?;
    let class = |p: usize| members[usize::from(labels[p])].as_slice();
    let of: Vec<usize> = match policy {
        PartnerPolicy::UniformInClass => (0..n_samples).map(|p| other_member(p, class(p), rng)).collect(),
        PartnerPolicy::NearestInClass => {
            // Classes have at least two members, so there always is one.
            (0..n_samples).map(|p| nearest(layer, p, class(p)).unwrap_or(p)).collect()
        }
        PartnerPolicy::Anchors { per_class, batch } => {
            for (field, value) in [("anchors per class", per_class), ("analysis batch", batch)] {
                if value == 0 {
                    return Err(PartnerError::Zero { field });
                }
            }
            let mut of = Vec::with_capacity(n_samples);
            for first in (0..n_samples).step_by(batch) {
                let anchors: Vec<Vec<usize>> =
                    members.iter().map(|members| draw_anchors(members, per_class, rng)).collect();
                for p in first..(first + batch).min(n_samples) {
                    let anchors = &anchors[usize::from(labels[p])];
                    of.push(nearest(layer, p, anchors).unwrap_or_else(|| other_member(p, class(p), rng)));
                }
            }
            of
        }
    };
    let same = |p: &usize| layer.a(*p) == layer.a(of[*p]);
    let zero = |p: &usize| layer.a(*p).iter().all(|&a| a == 0.0);
    let count = |property: &dyn Fn(&usize) -> bool| (0..of.len()).filter(|p| property(p)).count();
    let (n_duplicates, n_zero_activities) = (count(&same), count(&zero));
    Ok(Partners { of, n_duplicates, n_zero_activities })
}

/// Members of every class in order, for classes `0..=255` as far as there are any.
fn members_by_class(labels: &[u8]) -> Result<Vec<Vec<usize>>, PartnerError> {
    let n_classes = labels.iter().max().map_or(0, |&label| usize::from(label) + 1);
    let mut members = vec![Vec::new(); n_classes];
    for (p, &label) in labels.iter().enumerate() {
        members[usize::from(label)].push(p);
    }
    for (class, members) in members.iter().enumerate() {
        if let &[sample] = members.as_slice() {
            return Err(PartnerError::LonelyClass { class: class as u8, sample });
        }
    }
    Ok(members)
}

/// `n` distinct members in drawn order: the head of a Fisher–Yates shuffle.
fn draw_anchors(members: &[usize], n: usize, rng: &mut impl Rng) -> Vec<usize> {
    let mut pool = members.to_vec();
    let n = n.min(pool.len());
    for k in 0..n {
        let other = rng.random_range(k..pool.len());
        pool.swap(k, other);
    }
    pool.truncate(n);
    pool
}

/// The nearest candidate that is not `p` itself, the first of equals.
fn nearest(layer: &AnalysedLayer, p: usize, candidates: &[usize]) -> Option<usize> {
    let a = layer.a(p);
    let mut best: Option<(f64, usize)> = None;
    for &q in candidates.iter().filter(|&&q| q != p) {
        let distance: f64 = a.iter().zip(layer.a(q)).map(|(a, b)| (a - b) * (a - b)).sum();
        if best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, q));
        }
    }
    best.map(|(_, q)| q)
}

/// A member other than `p`, uniformly.
fn other_member(p: usize, members: &[usize], rng: &mut impl Rng) -> usize {
    let own = members.binary_search(&p).expect("every sample is a member of its class");
    let k = rng.random_range(0..members.len() - 1);
    members[if k < own { k } else { k + 1 }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use faer::Mat;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use superlinear_curvature::LayerFactors;

    /// Samples whose activities are given, as one-dimensional columns.
    fn samples(activities: &[f64], labels: &[u8]) -> AnalysedLayer {
        let n = activities.len();
        let factors = LayerFactors {
            activities: Mat::from_fn(1, n, |_, p| activities[p]),
            deltas: Mat::zeros(1, n),
            curvatures: vec![0.0; n],
            weight: None,
            labels: Some(labels.to_vec()),
        };
        AnalysedLayer::from_factors(factors).unwrap()
    }

    const POLICIES: [PartnerPolicy; 5] = [
        PartnerPolicy::PAPER,
        PartnerPolicy::Anchors { per_class: 1, batch: 3 },
        PartnerPolicy::Anchors { per_class: 2, batch: 1 },
        PartnerPolicy::NearestInClass,
        PartnerPolicy::UniformInClass,
    ];

    #[test]
    fn a_partner_is_of_the_same_class_and_never_the_sample_itself() {
        let labels: Vec<u8> = (0..60).map(|p| [0, 0, 3, 1][p % 4]).collect();
        let activities: Vec<f64> = (0..60).map(|p| f64::from(p * 37 % 11)).collect();
        let samples = samples(&activities, &labels);
        for policy in POLICIES {
            for seed in 0..20 {
                let partners = choose_partners(&samples, policy, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
                for (p, &q) in partners.of.iter().enumerate() {
                    assert!(q != p && labels[q] == labels[p], "{policy:?} {p} {q}");
                }
            }
        }
    }

    #[test]
    fn nearest_is_nearest_and_oddities_are_counted() {
        let samples = samples(&[0.0, 5.0, 5.0, 1.0, 9.0], &[0; 5]);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let partners = choose_partners(&samples, PartnerPolicy::NearestInClass, &mut rng).unwrap();
        assert_eq!(partners, Partners { of: vec![3, 2, 1, 0, 1], n_duplicates: 2, n_zero_activities: 1 });
        // With as many anchors as members the paper's rule is the nearest of the class.
        let all = PartnerPolicy::Anchors { per_class: 9, batch: 2 };
        let anchors = choose_partners(&samples, all, &mut rng).unwrap();
        assert_eq!((anchors.of[0], anchors.of[3]), (3, 0));
    }

    #[test]
    fn draws_are_stable() {
        let activities: Vec<f64> = (0..12).map(f64::from).collect();
        let samples = samples(&activities, &[0; 12]);
        let drawn = |policy| choose_partners(&samples, policy, &mut ChaCha8Rng::seed_from_u64(7)).unwrap().of;
        // What ChaCha8 gives; a change of either line would change every published number.
        assert_eq!(drawn(PartnerPolicy::UniformInClass), [2, 2, 3, 1, 2, 8, 0, 8, 0, 6, 8, 3]);
        assert_eq!(drawn(PartnerPolicy::Anchors { per_class: 3, batch: 5 }), [1, 2, 1, 2, 3, 3, 3, 9, 9, 3, 8, 8]);
    }

    #[test]
    fn lonely_classes_and_zero_counts_are_named() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let lonely = samples(&[0.0, 1.0, 2.0], &[4, 4, 6]);
        for policy in POLICIES {
            let error = choose_partners(&lonely, policy, &mut rng).unwrap_err();
            assert_eq!(error, PartnerError::LonelyClass { class: 6, sample: 2 });
        }
        let policy = PartnerPolicy::Anchors { per_class: 0, batch: 1 };
        let error = choose_partners(&samples(&[0.0, 1.0], &[0, 0]), policy, &mut rng).unwrap_err();
        assert_eq!(error, PartnerError::Zero { field: "anchors per class" });
    }
}
