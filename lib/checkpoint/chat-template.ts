/**
 * A model's chat template: Jinja as transformers defines it for `apply_chat_template` (blocks trimmed, `raise_exception`
 * and `strftime_now` present), run by @huggingface/jinja.
 */
import { Template } from '@huggingface/jinja'
import { PyramidionError } from '../errors.js'
import { describe, isObject } from './fields.js'
import type { ChatMessage } from './tokenizer.js'

export class ChatTemplate {
  private readonly template: Template

  /** `specialTokens` are the variables a template may name: bos_token, eos_token, ... */
  constructor(
    readonly source: string,
    private readonly specialTokens: Readonly<Record<string, string>>,
    where: string,
  ) {
    try {
      this.template = new Template(source)
    } catch (error) {
      throw new PyramidionError('INVALID_FILE', `${where}: the chat template is broken: ${(error as Error).message}`, {
        cause: error,
      })
    }
  }

  apply(messages: ChatMessage[], addGenerationPrompt: boolean): string {
    if (!Array.isArray(messages) || messages.length === 0)
      throw new PyramidionError(
        'INVALID_ARGUMENT',
        `messages must be an array of at least one, got ${describe(messages)}`,
      )
    messages.forEach((message, i) => {
      if (!isObject(message) || typeof message.role !== 'string' || typeof message.content !== 'string')
        throw new PyramidionError(
          'INVALID_ARGUMENT',
          `messages[${i}] must have a role and a content, both strings, got ${describe(message)}`,
        )
    })
    try {
      return this.template.render({ ...this.specialTokens, messages, add_generation_prompt: addGenerationPrompt })
    } catch (error) {
      throw new PyramidionError('INVALID_ARGUMENT', `the chat template refuses messages: ${(error as Error).message}`, {
        cause: error,
      })
    }
  }
}
