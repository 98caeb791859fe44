//! Writing by unmasking, with models whose answers are known.

use std::sync::Mutex;

use ssl_data::batch::Batch;
use ssl_eval::sample::Sampling;
use ssl_eval::unmask::unmask;
use ssl_model::{Loss, Model, Pass};
use tch::{Device, Kind, Tensor};

const VOCAB: i64 = 11;
const MASK: u32 = 3;

/// Answers place i with token `2 i mod 11` for certain, and keeps what it was shown.
struct Known {
    shown: Mutex<Vec<Vec<i64>>>,
}

impl Model for Known {
    fn loss(&self, _: &Batch<Tensor>, _: Pass) -> Loss {
        unreachable!("nothing is trained")
    }

    fn hidden(&self, _: &Batch<Tensor>, _: Pass) -> Tensor {
        unreachable!("nothing is embedded")
    }

    fn logits(&self, batch: &Batch<Tensor>) -> Tensor {
        let rows = batch.rows().expect("rows");
        assert_eq!(rows.never, Some(i64::from(MASK)));
        let shown = Vec::try_from(rows.inputs.view([-1])).expect("ids");
        let answers = Tensor::from_slice(&(0..shown.len() as i64).map(|at| answer(at as usize)).collect::<Vec<_>>());
        self.shown.lock().expect("no panic").push(shown);
        answers.one_hot(VOCAB).to_kind(Kind::Float).unsqueeze(0) * 50.0
    }

    fn context(&self) -> usize {
        24
    }
}

fn answer(at: usize) -> i64 {
    let id = 2 * at as i64 % VOCAB;
    if id == i64::from(MASK) { 0 } else { id }
}

#[test]
fn all_is_written_once_and_the_prompt_stays() {
    for steps in [1, 3, 8, 100] {
        let model = Known { shown: Mutex::default() };
        let text = unmask(&model, Device::Cpu, &[7, 7], 30, MASK, steps, &Sampling::default()).expect("text");
        // 22 places are left of the context of 24.
        assert_eq!(text, (2..24).map(|at| answer(at) as u32).collect::<Vec<_>>(), "{steps} steps");
        let shown = model.shown.into_inner().expect("no panic");
        assert!(shown.len() as u64 <= steps && shown[0][2..].iter().all(|&id| id == i64::from(MASK)));
        for pair in shown.windows(2) {
            assert_eq!(pair[1][..2], [7, 7]);
            let stays = pair[0].iter().zip(&pair[1]).all(|(before, after)| *before == i64::from(MASK) || before == after);
            assert!(stays, "what is written stays");
        }
        if steps == 8 {
            // About an eighth of the places a step; all in one would be no diffusion.
            let left = shown.last().expect("a step").iter().filter(|&&id| id == i64::from(MASK)).count();
            assert!((1..10).contains(&left), "{left} left for the last step");
        }
    }
}

#[test]
fn what_a_model_does_not_know_is_an_error() {
    let model = Known { shown: Mutex::default() };
    let fault = unmask(&model, Device::Cpu, &[99], 4, MASK, 2, &Sampling::default()).expect_err("99 is no id");
    assert!(fault.to_string().contains("token 99"), "{fault}");
}
