//! Evidence of a world with two directions: prompts of maths point along the first, prompts of law along the second.

use prost::Message;

use super::*;

const MATHS: [f32; 2] = [1.0, 0.0];
const LAW: [f32; 2] = [0.0, 1.0];

fn document() -> EvidenceDocument {
    let directions: Vec<[f32; 2]> = (0..200).map(|index| if index < 100 { MATHS } else { LAW }).collect();
    let quantised: Vec<_> = directions.iter().map(|direction| quantised(direction)).collect();
    // The calculator is right in maths and wrong in law; the lawyer was graded in law only, and is right there.
    let grades = (0..200).flat_map(|index| {
        let calculator = Grade { profile: 0, score: if index < 100 { 1.0 } else { 0.0 } };
        let lawyer = (index >= 100).then_some(Grade { profile: 1, score: 1.0 });
        [Some(calculator), lawyer].into_iter().flatten().map(Grade::packed)
    });
    let sample =
        SampleDocument { input_tokens: 9, embedding: MATHS.to_vec(), latent: vec![0.5], output_tokens: vec![3.0, 4.0] };
    EvidenceDocument {
        profiles: vec!["calculator".into(), "lawyer".into()],
        overall: vec![0.5, 0.6],
        width: 2,
        centroids: [MATHS, LAW].concat(),
        sums: vec![90.0, 0.0, 10.0, 95.0],
        counts: vec![100.0, 0.0, 100.0, 100.0],
        embeddings: quantised.iter().flat_map(|(row, _)| row.iter().map(|value| value.cast_unsigned())).collect(),
        scales: quantised.iter().map(|(_, step)| *step).collect(),
        ends: (1..=200).map(|prompt| if prompt <= 100 { prompt } else { 100 + 2 * (prompt - 100) }).collect(),
        grades: grades.collect(),
        samples: vec![sample],
    }
}

fn evidence() -> TrainingEvidence {
    TrainingEvidence::parse(&document().encode_to_vec(), 2, 1).unwrap()
}

const BOTH: Needs = Needs { clusters: true, neighbours: true, ..Needs::SCORES };

#[test]
fn a_prompt_hears_its_nearest_clusters_first() {
    let near = evidence().near(&LAW, BOTH);

    let calculator: Vec<f64> = near["calculator"].clusters.iter().map(|cluster| cluster.mean.value()).collect();
    assert_eq!(calculator, [0.1, 0.9]);
    assert_eq!(near["lawyer"].clusters[1].weight, 0.0);
}

#[test]
fn a_prompt_hears_the_grades_of_prompts_that_point_its_way() {
    let near = evidence().near(&[0.8, 0.6], BOTH);

    let calculator = near["calculator"].neighbours.unwrap();
    assert_eq!(calculator.mean.value(), 1.0);
    assert!((calculator.weight - NEIGHBOURS as f64).abs() < 1e-3, "{calculator:?}");
    assert_eq!(near["lawyer"].neighbours.unwrap().weight, 0.0);
}

#[test]
fn nothing_is_worked_out_that_is_not_needed() {
    let near = evidence().near(&MATHS, Needs::SCORES);

    assert!(near["lawyer"].clusters.is_empty() && near["lawyer"].neighbours.is_none());
    assert!((near["lawyer"].overall.unwrap().value() - 0.6).abs() < 1e-6);
}

#[test]
fn more_grades_leave_less_doubt() {
    let few = Tally { sum: 3.0, weight: 3.0, squares: 3.0 }.observed();
    let many = Tally { sum: 300.0, weight: 300.0, squares: 300.0 }.observed();

    assert!(few.spread > many.spread && many.spread > 0.0, "{few:?} {many:?}");
}

#[test]
fn bytes_keep_the_angle_between_vectors() {
    let (one, other) = ([0.1_f32, -0.5, 0.86], [0.3_f32, -0.4, 0.87]);
    let ((a, step_a), (b, step_b)) = (quantised(&one), quantised(&other));

    let exact: f32 = one.iter().zip(&other).map(|(a, b)| a * b).sum();

    assert!((product(&a, &b) as f32 * step_a * step_b - exact).abs() < 0.01);
}

#[test]
fn a_file_that_does_not_fit_is_refused_with_the_list_at_fault() {
    let refused = |change: fn(&mut EvidenceDocument)| {
        let mut document = document();
        change(&mut document);
        TrainingEvidence::parse(&document.encode_to_vec(), 2, 1).unwrap_err().to_string()
    };

    assert!(refused(|document| document.width = 3).contains("router.yaml"));
    assert!(refused(|document| document.counts.truncate(1)).contains("counts"));
    assert!(refused(|document| document.overall[0] = f32::NAN).contains("overall"));
    assert!(refused(|document| document.sums[0] = 101.0).contains("sums"));
    assert!(refused(|document| document.ends[3] = 9_999).contains("ends"));
    assert!(refused(|document| document.grades[0] = 7 << 8).contains("grades"));
    assert!(refused(|document| document.samples[0].latent.clear()).contains("samples"));
    assert!(matches!(TrainingEvidence::parse(b"\xff\xff", 2, 1), Err(EvidenceError::Malformed(_))));
}
