// A thousand updates of one program, there and back: what was superseded must be given back.
import { apply, ask, figure, memoryOf, rollback, Subject } from '../measure.mjs';

export const title = '1000 updates in a row';

export async function measure({ updates = 1000 }) {
    const subject = await Subject.build('body');
    const patch = await subject.patch();
    const program = subject.start();
    let settled;

    await ask(program, 'call');
    for (let i = 0; i < updates; i += 2) {
        if (i === 100)
            settled = memoryOf(program.pid);
        await apply(patch, program);
        await rollback(program);
    }
    const end = memoryOf(program.pid);
    const answer = await ask(program, 'call');
    await program.close();
    if (answer !== 'hello from one')
        throw new Error(`after ${updates} updates the program answers: ${answer}`);
    return [
        figure(`memory after ${updates} updates, over that after 100`, end.resident - settled.resident, 'kB', 256),
        figure(`mappings after ${updates} updates, over those after 100`, end.mappings - settled.mappings, '', 4),
    ];
}
