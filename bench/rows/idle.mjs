// What the engine costs a program that is not being updated: resident memory and wake-ups of its thread.
import fs from 'node:fs';
import path from 'node:path';
import { ask, delay, figure, memoryOf, Subject } from '../measure.mjs';

export const title = 'the engine, idle';

/** Voluntary and other switches of all threads of PID. */
function switches(pid) {
    const tasks = `/proc/${pid}/task`;
    return fs.readdirSync(tasks).reduce((sum, tid) => {
        const status = fs.readFileSync(path.join(tasks, tid, 'status'), 'utf8');
        return sum + [...status.matchAll(/ctxt_switches:\s+(\d+)/g)].reduce((n, match) => n + Number(match[1]), 0);
    }, 0);
}

export async function measure({ seconds = 10 }) {
    const subject = await Subject.build('body');
    const plain = subject.startPlain(), program = subject.start();

    await ask(plain, 'call');
    await ask(program, 'call');
    await delay(500);
    const before = switches(program.pid);
    await delay(seconds * 1000);
    const wakeUps = switches(program.pid) - before;
    const resident = (memoryOf(program.pid).resident - memoryOf(plain.pid).resident) / 1024;
    await plain.close();
    await program.close();
    return [
        figure(`wake-ups in ${seconds} s`, wakeUps, '', 0),
        figure('resident memory', resident, 'MB', 5),
    ];
}
