//! From embedded bytes to a network's inputs: what there is, a draw by class under either policy, normalisation, and an
//! IDX file of one's own, read back and refused when cut.
//!
//! `cargo run --release -p superlinear-datasets --example draw_and_normalise`
// An example talks to whoever runs it.
#![allow(clippy::print_stdout)]

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use superlinear_datasets::{
    Classes, DatasetName, DrawPolicy, Normalisation, Split, catalog, draw_test, draw_train, embedded, idx,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for name in DatasetName::ALL {
        let bytes: u64 = catalog::entry(name).files.iter().map(|file| file.bytes).sum();
        let embedded = match embedded::subset(name) {
            Some(subset) => format!("{} + {} images a class", subset.train_per_class, subset.test_per_class),
            None => "nothing".to_owned(),
        };
        println!(
            "{name:<13} {:<11} original {:>3} MB, embedded: {embedded}",
            name.shape().to_string(),
            bytes / 1_000_000
        );
    }

    // Cats, dogs and ships; labels become 0, 1 and 2.
    let cifar10 = embedded::cifar10();
    let classes = Classes::of(&[3, 5, 8])?;
    let names: Vec<&str> = classes.labels().iter().map(|&y| cifar10.name.class_names()[usize::from(y)]).collect();
    println!("{} of {} as classes 0, 1, 2:", names.join(", "), cifar10.name);
    for policy in [DrawPolicy::FirstMatches, DrawPolicy::ExactPerClass] {
        // With one seed both policies read the same shuffled order.
        let drawn = draw_train(&cifar10.train, &classes, 150, policy, &mut ChaCha8Rng::seed_from_u64(1))?;
        let counts = cifar10.train.select(&drawn, &classes).class_counts();
        println!(
            "  {:<13} images of each: {:?}; first indices: {:?}",
            format!("{policy:?}"),
            &counts[..3],
            &drawn[..4]
        );
        if policy == DrawPolicy::ExactPerClass {
            assert_eq!(counts[..3], [150; 3], "an unbalanced draw");
        }
    }
    let too_many =
        draw_train(&cifar10.train, &classes, 500, DrawPolicy::ExactPerClass, &mut ChaCha8Rng::seed_from_u64(1));
    let Err(error) = too_many else {
        return Err("500 images of a class that has 200 were drawn".into());
    };
    println!("  500 of each? {error}");

    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let drawn = draw_train(&cifar10.train, &classes, 150, DrawPolicy::ExactPerClass, &mut rng)?;
    let train = cifar10.train.select(&drawn, &classes);
    let test = cifar10.test.select(&draw_test(&cifar10.test, &classes, 100, &mut rng), &classes);
    println!("test images of each: {:?}", &test.class_counts()[..3]);
    for (name, normalisation) in [("b/255", Normalisation::UnitScale), ("the paper's", Normalisation::of(cifar10.name))]
    {
        let inputs = train.to_f32(&normalisation);
        assert_eq!(inputs.len(), train.len() * train.shape().len(), "an input a byte");
        let by_channel: Vec<String> = (0..3).map(|c| channel_summary(&inputs, &train, c)).collect();
        println!("inputs by {name:<11} mean ± sd of red, green, blue: {}", by_channel.join(", "));
    }

    // Whatever has one channel can be written as MNIST's files are, and is checked on the way in.
    let mnist = embedded::mnist();
    let digits = Classes::of(&[1, 7])?;
    let drawn = draw_train(&mnist.train, &digits, 25, DrawPolicy::ExactPerClass, &mut rng)?;
    let written = mnist.train.select(&drawn, &digits);
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    idx::write_images(&mut images, &written)?;
    idx::write_labels(&mut labels, &written)?;
    let read = idx::parse_images("images", &images[..])?;
    let again = Split::new(read.shape, read.pixels, idx::parse_labels("labels", &labels[..])?)?;
    assert_eq!(again, written, "another split than was written");
    println!("{} images of 1 and 7 written as {} bytes of IDX and read back", again.len(), images.len());
    let Err(error) = idx::parse_images("images", &images[..20_000]) else {
        return Err("a file that was cut was read".into());
    };
    println!("cut: {error}");
    Ok(())
}

/// Mean and standard deviation over all pixels of a channel.
fn channel_summary(inputs: &[f32], split: &Split, channel: usize) -> String {
    let (image, plane) = (split.shape().len(), split.shape().height * split.shape().width);
    let of_channel = inputs.chunks_exact(image).flat_map(|x| &x[channel * plane..][..plane]).map(|&x| f64::from(x));
    let n = (split.len() * plane) as f64;
    let mean = of_channel.clone().sum::<f64>() / n;
    let variance = of_channel.map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    format!("{mean:.3} ± {:.3}", variance.sqrt())
}
