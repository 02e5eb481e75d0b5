/**
 * Shows the differences in the review document as VS Code shows differences: the lines on the colours of the diff
 * editor. The words in them have the colours of C, from the grammar.
 */
import * as vscode from 'vscode';

const LANGUAGE = 'molt-review';

function wholeLine(options: vscode.DecorationRenderOptions): vscode.TextEditorDecorationType {
    return vscode.window.createTextEditorDecorationType({ isWholeLine: true, ...options });
}

export class ReviewColors implements vscode.Disposable {
    private readonly kinds = new Map([
        ['+', wholeLine({ backgroundColor: new vscode.ThemeColor('diffEditor.insertedLineBackground') })],
        ['-', wholeLine({ backgroundColor: new vscode.ThemeColor('diffEditor.removedLineBackground') })],
        ['@', wholeLine({ color: new vscode.ThemeColor('descriptionForeground') })],
    ]);
    private readonly subscription = vscode.Disposable.from(
        vscode.window.onDidChangeVisibleTextEditors((editors) => editors.forEach((editor) => this.paint(editor))),
        vscode.workspace.onDidChangeTextDocument(({ document }) =>
            vscode.window.visibleTextEditors.filter((editor) => editor.document === document).forEach((editor) => this.paint(editor))),
    );

    private paint(editor: vscode.TextEditor): void {
        if (editor.document.languageId !== LANGUAGE) {
            return;
        }
        const lines = editor.document.getText().split(/\r?\n/);
        for (const [sign, type] of this.kinds) {
            editor.setDecorations(type, lines.flatMap((line, row) =>
                line.startsWith(`    ${sign}`) ? [new vscode.Range(row, 4, row, line.length)] : []));
        }
    }

    dispose(): void {
        this.subscription.dispose();
        this.kinds.forEach((type) => type.dispose());
    }
}
