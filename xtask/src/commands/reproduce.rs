//! `cargo xtask reproduce`: plan, train, analyse, and publish.

use super::{count, threads};
use crate::plans::{self, Profile};
use crate::voice::Voice;
use crate::{interrupt, provenance};
use anyhow::{Context, Result, bail};
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use superlinear_experiments::cost::{Cost, Speed, cost, human_bytes, human_time};
use superlinear_experiments::failure::Failure;
use superlinear_experiments::images::load_data;
use superlinear_experiments::keep::Keep;
use superlinear_experiments::manifest::{MANIFEST, Manifest, Request, SHARDS};
use superlinear_experiments::observer::{Observer, Stopped};
use superlinear_experiments::pipeline::{Finished, Pipeline, lock_results};
use superlinear_experiments::plan::{Choice, Plan};
use superlinear_experiments::record::RunRecord;
use superlinear_experiments::run_dir::Saver;
use superlinear_experiments::shard::{Shard, ShardArg};
use superlinear_experiments::spec::RunSpec;
use superlinear_report::fits::Exponents;
use superlinear_report::outputs::{self, OUTPUTS};
use superlinear_report::publish::{self, REPORT};

/// Arguments of `reproduce`.
#[derive(Debug, clap::Args)]
pub(crate) struct ReproduceArgs {
    /// Scale of the reproduction; every profile draws the same outputs
    #[arg(long, value_enum, default_value_t = Profile::Quick)]
    profile: Profile,
    /// A plan of one's own in place of a profile: a TOML file, see docs/plans.md
    #[arg(long, value_name = "FILE", conflicts_with = "profile")]
    plan: Option<PathBuf>,
    /// Only these outputs, and only the runs that they need
    #[arg(long, value_parser = output_ids(), value_delimiter = ',', value_name = "IDS")]
    only: Vec<String>,
    /// Runs, by id, that outputs about single runs show [default: the first seed with ten classes, each loss]
    #[arg(long, value_delimiter = ',', value_name = "RUN-IDS")]
    runs: Vec<String>,
    /// Only settings whose names begin so, for example `mnist-mlp,cifar10-cnn-ce-c3` [default: all of the plan]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    settings: Vec<String>,
    /// Epochs at which networks are analysed during training, where an output follows it [default: the plan's]
    #[arg(long, value_delimiter = ',', value_name = "EPOCHS", value_parser = count)]
    checkpoints: Option<Vec<NonZeroUsize>>,
    /// Seeds of each setting [default: the plan's]
    #[arg(long, value_name = "N", value_parser = count)]
    seeds: Option<NonZeroUsize>,
    /// Folder of the results; they go to <DIR>/<plan>
    #[arg(long, value_name = "DIR", default_value = "out")]
    out: PathBuf,
    /// Folder of the full data sets [default: $SUPERLINEAR_DATA_DIR, else the platform's cache folder]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Threads; the numbers are the same for any [default: all cores]
    #[arg(long, value_name = "N", value_parser = threads)]
    threads: Option<NonZeroUsize>,
    /// Only this share of the runs, `i/n` with i from 1 to n, or `auto`: the rank that Slurm or an MPI launcher gives
    #[arg(long, value_name = "SHARE")]
    pub(crate) shard: Option<ShardArg>,
    /// What stays on the disk of the runs, besides the results
    #[arg(long, value_enum, default_value_t = KeepArg::Summary)]
    keep: KeepArg,
    /// How often a network in training is saved, at the end of an epoch: more seldom where that would take a hundredth
    /// of the time, and after every epoch if 0
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    save_every: f64,
    /// Print the runs with estimated time, memory and disk, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Print nothing but errors
    #[arg(long)]
    quiet: bool,
}

/// Output ids with what each is.
fn output_ids() -> clap::builder::PossibleValuesParser {
    OUTPUTS.map(|output| clap::builder::PossibleValue::new(output.id).help(output.about)).into()
}

/// What stays on the disk of a finished reproduction, besides its results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum KeepArg {
    /// Nothing: the runs' folders are removed once the results are written, by the last process if several share the
    /// work; no verify, export or merge then
    None,
    /// Networks, curves and diagonals: enough to draw, verify and export
    Summary,
    /// Also the matrices H, M₂ and Σ of every analysed layer, for `verify --recompute` to compare entry by entry;
    /// `export` forms them again
    Moments,
}

impl From<KeepArg> for Keep {
    fn from(keep: KeepArg) -> Self {
        match keep {
            KeepArg::None => Self::None,
            KeepArg::Summary => Self::Summary,
            KeepArg::Moments => Self::Moments,
        }
    }
}

impl ReproduceArgs {
    /// Whether it names a file.
    pub(crate) fn has_plan(&self) -> bool {
        self.plan.is_some()
    }

    fn chosen_plan(&self) -> Result<Plan> {
        match &self.plan {
            Some(file) => plans::read(file),
            None => Ok(self.profile.plan()),
        }
    }

    /// What the arguments ask for.
    ///
    /// # Errors
    /// When the plan is none, or has no such run, setting or output.
    pub(crate) fn request(&self) -> Result<Request> {
        let plan = self.chosen_plan()?;
        let numbers = |values: &Vec<NonZeroUsize>| values.iter().copied().map(usize::from).collect();
        let choice = Choice {
            settings: self.settings.clone(),
            n_seeds: self.seeds.map(usize::from),
            checkpoints: self.checkpoints.as_ref().map(numbers),
        };
        let all = plan.all_runs(&choice)?;
        if let Some(unknown) = self.runs.iter().find(|id| !all.iter().any(|run| run.id() == **id)) {
            let known: Vec<String> = all.iter().map(RunSpec::id).collect();
            bail!("no run {unknown:?} in plan {}; known: {}", plan.name, known.join(", "));
        }
        let outputs = match (&self.only, &plan.outputs) {
            (only, _) if !only.is_empty() => only.clone(),
            (_, Some(outputs)) => outputs.clone(),
            (_, None) => OUTPUTS.map(|output| output.id.to_owned()).to_vec(),
        };
        for id in &outputs {
            outputs::find(id)?;
        }
        let (featured, also) = match self.runs.is_empty() {
            true => (plan.featured.clone(), plan.also.clone()),
            false => (self.runs.clone(), Default::default()),
        };
        let request = Request { plan: plan.name.clone(), runs: Vec::new(), outputs, featured, also };
        let runs = plan.runs(&choice, |run| outputs::needs(&request, run).unwrap_or_default())?;
        Ok(Request { runs, ..request })
    }

    /// The command that asks for the same.
    pub(crate) fn command(&self) -> String {
        let mut words = vec!["cargo xtask reproduce".to_owned()];
        let mut option = |name: &str, values: Vec<String>| {
            if !values.is_empty() {
                words.push(format!("--{name} {}", values.join(",")));
            }
        };
        match &self.plan {
            Some(file) => option("plan", vec![file.display().to_string()]),
            None => option("profile", vec![self.profile.name().to_owned()]),
        }
        option("only", self.only.clone());
        option("runs", self.runs.clone());
        option("settings", self.settings.clone());
        option("checkpoints", self.checkpoints.iter().flatten().map(|epoch| epoch.to_string()).collect());
        option("seeds", self.seeds.iter().map(|n| n.to_string()).collect());
        words.join(" ")
    }
}

/// Runs the command.
///
/// # Errors
/// When the data are missing, the results cannot be written, a number is not finite, or the user interrupts.
pub(crate) fn run(args: &ReproduceArgs) -> Result<()> {
    let keep = Keep::from(args.keep);
    let request = args.request()?;
    let shard = args.shard.map(|shard| shard.resolve(|name| std::env::var(name).ok())).transpose()?;
    if shard.is_some() && keep == Keep::None {
        bail!("--keep none leaves nothing to merge: use another with --shard");
    }
    let specs = shard.map_or_else(|| request.runs.clone(), |shard| shard.of(&request.runs));
    let threads = super::n_threads(args.threads);
    if args.dry_run {
        return dry_run(&specs, threads, keep);
    }
    let whole = args.out.join(&request.plan);
    let target = shard.map_or_else(|| whole.clone(), |shard| whole.join(SHARDS).join(shard.folder()));
    publish::prepare(&target)?;
    interrupt::listen()?;
    let data = load_data(&specs, args.data_dir.as_deref())?;
    let save_every = Duration::try_from_secs_f64(args.save_every).context("--save-every")?;
    let provenance = provenance::here();
    let (program, saver) = (provenance::program()?, Saver::new(provenance.clone()));
    let pipeline = Pipeline {
        request: &request,
        shard,
        specs: &specs,
        data: &data,
        target: &target,
        threads,
        save_every,
        keep,
        saver: &saver,
        program: &program,
    };
    let manifest = Manifest {
        schema: Manifest::SCHEMA,
        request: request.clone(),
        command: args.command(),
        shard,
        data: pipeline.data_summaries(),
        provenance,
        program: program.clone(),
        keep,
        files: Vec::new(),
        failures: Vec::new(),
        threads,
        wall_s: 0.0,
        saving_s: 0.0,
    };
    let voice = Voice::new(args.quiet);
    let here = pipeline.begin(&voice)?;
    results(&pipeline, manifest, args, &voice).map_err(|error| match error.is::<Stopped>() {
        true => error.context(format!(
            "interrupted: what is done is saved in {}; the same command goes on from there",
            target.join(superlinear_experiments::manifest::RUNS).display()
        )),
        false => error,
    })?;
    drop(here);
    pipeline.remove_what_is_not_kept(&voice)
}

/// Makes the results, unless they are there.
fn results(pipeline: &Pipeline<'_>, manifest: Manifest, args: &ReproduceArgs, voice: &Voice) -> Result<()> {
    let (target, observer): (_, &dyn Observer) = (pipeline.target, voice);
    if pipeline.is_done()? {
        let what = if pipeline.shard.is_some() { MANIFEST } else { REPORT };
        observer.note("done", &format!("nothing to do: {} is up to date", target.join(what).display()));
        // A call that was killed just behind its last file has left its note.
        return pipeline.end();
    }
    let start = Instant::now();
    let Finished { runs, mut failures } = pipeline.run(observer)?;
    let runs = with_fits(runs, &mut failures);
    let _lock = lock_results(target, observer)?;
    if pipeline.is_done()? {
        // Another process has written them, or what was damaged has been made again, to the same bits.
        observer.note("done", &format!("{} is up to date", target.join(REPORT).display()));
        return pipeline.end();
    }
    let (wall_s, saving_s) = (start.elapsed().as_secs_f64(), pipeline.saver.seconds());
    let manifest = Manifest { failures: failures.clone(), wall_s, saving_s, ..manifest };
    match pipeline.shard {
        None => publish::publish(manifest, &runs, target, observer)?,
        Some(Shard { index, count }) => {
            observer.check()?;
            publish::write_manifest(manifest, &[], target)?;
            observer.note(&format!("{index}/{count}"), &format!("{} runs in {}", runs.len(), target.display()));
            let all = target.with_file_name(format!("*-of-{count}"));
            let out = args.out.display();
            observer.note("then", &format!("cargo xtask merge {} --out {out}", all.display()));
        }
    }
    pipeline.end()?;
    if let Some(first) = failures.first() {
        let (n, of) = (failures.len(), pipeline.specs.len());
        bail!("{n} of {of} runs failed, and the results say so; the first: {}", first.error);
    }
    Ok(())
}

/// The runs whose exponents can be fitted; with the others nothing can be drawn, and they fail.
fn with_fits(runs: Vec<RunRecord>, failures: &mut Vec<Failure>) -> Vec<RunRecord> {
    let fails = |run: &RunRecord| Exponents::of(run).err().map(|error| Failure::new(run.spec.id(), &error));
    runs.into_iter()
        .filter_map(|run| match fails(&run) {
            None => Some(run),
            Some(failure) => {
                failures.push(failure);
                None
            }
        })
        .collect()
}

/// Prints the runs with their estimated cost.
fn dry_run(specs: &[RunSpec], threads: usize, keep: Keep) -> Result<()> {
    if specs.is_empty() {
        bail!("no run is needed");
    }
    let speed = Speed::measure();
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{:<24} {:>8} {:>7} {:>6} {:>9} {:>9} {:>9}",
        "run", "images", "epochs", "top", "core time", "memory", "disk"
    )?;
    let mut total = Cost::default();
    for spec in specs {
        let estimate = cost(spec, speed, keep);
        let (time, memory) = (human_time(estimate.seconds), human_bytes(estimate.memory));
        let disk = human_bytes(estimate.disk);
        writeln!(
            out,
            "{:<24} {:>8} {:>7} {:>6} {time:>9} {memory:>9} {disk:>9}",
            spec.id(),
            spec.n_samples(),
            spec.epochs,
            spec.top,
        )?;
        total.seconds += estimate.seconds;
        total.memory = total.memory.max(estimate.memory);
        total.disk += estimate.disk;
    }
    writeln!(
        out,
        "{} runs: about {} on {threads} threads, {} of memory, {} of disk",
        specs.len(),
        human_time(total.seconds / threads.min(specs.len()).max(1) as f64),
        human_bytes(total.memory * threads.min(specs.len()) as f64),
        human_bytes(total.disk),
    )?;
    Ok(())
}
