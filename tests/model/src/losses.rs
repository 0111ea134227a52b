//! The log of losses: action and reason first, then the number, both with interrupts off. So entry n of a CPU's log is the
//! nth number that has no record, whatever interrupts the attempt.

/// One CPU: who wrote each entry of the log, and who took each number, all of them without room.
#[derive(Default)]
struct Cpu {
    log: Vec<&'static str>,
    numbers: Vec<&'static str>,
}

impl Cpu {
    fn steps() -> [fn(&mut Cpu, &'static str); 2] {
        [|cpu, who| cpu.log.push(who), |cpu, who| cpu.numbers.push(who)]
    }

    /// An attempt that finds no room; an interrupt that makes one too comes before step `at`, or behind the last.
    fn refuse_interrupted(&mut self, at: usize, interrupts_off: bool) {
        let interrupt = |cpu: &mut Cpu| Cpu::steps().iter().for_each(|step| step(cpu, "interrupt"));
        for (n, step) in Cpu::steps().iter().enumerate() {
            if n == at && (n == 0 || !interrupts_off) {
                interrupt(self);
            }
            step(self, "task");
        }
        if at == Cpu::steps().len() || (at > 0 && interrupts_off) {
            interrupt(self);
        }
    }
}

/// Moments of an interrupt at which a number would get the name of the other's loss.
fn swapped(interrupts_off: bool) -> Vec<usize> {
    let is_swapped = |at: &usize| {
        let mut cpu = Cpu::default();
        cpu.refuse_interrupted(*at, interrupts_off);
        assert_eq!((cpu.log.len(), cpu.numbers.len()), (2, 2));
        cpu.log != cpu.numbers
    };
    (0..=Cpu::steps().len()).filter(is_swapped).collect()
}

#[test]
fn a_loss_keeps_its_number_whenever_an_interrupt_loses_one_too() {
    assert_eq!(swapped(true), Vec::<usize>::new());
}

#[test]
fn with_interrupts_on_two_losses_swap_their_numbers() {
    assert_eq!(swapped(false), [1]);
}
